"""Where things are on this machine: the checkout, the data of the local stack, the cache."""

import os
from pathlib import Path

from encore.settings import settings

PROJECT_ROOT = Path(__file__).resolve().parents[1]


def encore_home() -> Path:
    """Return the folder of the local stack's data, logs and checkpoints (``ENCORE_HOME``)."""
    return Path(settings().encore_home or PROJECT_ROOT / ".encore").resolve()


def cache_home() -> Path:
    """Return the per-user cache of fetched jars and server binaries.

    Root's own home is closed to other users, and PostgreSQL refuses to run as root, so root's
    cache is the system's.
    """
    if settings().encore_cache:
        return Path(settings().encore_cache).resolve()
    if os.geteuid() == 0:
        return Path("/var/cache/encore")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "encore"
