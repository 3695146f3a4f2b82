"""Array types of the producer, and the few array operations that every module shares."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


def sigmoid(values: Doubles) -> Doubles:
    """Return the logistic function of each value."""
    return np.asarray(1.0 / (1.0 + np.exp(-values)), dtype=np.float64)


def first_positions(values: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values and the position at which each comes first."""
    distinct, positions = np.unique(values, return_index=True)
    return distinct, positions.astype(np.int64)


def unit_mix(base: Floats, noise: Floats, share: float) -> Floats:
    """Blend two sets of standard normal vectors so that the result is standard normal again."""
    return np.asarray(share * base + np.sqrt(1 - share**2) * noise, dtype=np.float32)
