"""Random generators that are named, so that one part's draws never shift another's."""

from zlib import crc32

import numpy as np


def named_rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of ``seed`` for one purpose; the same names give the same draws."""
    words = [crc32(str(name).encode()) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
