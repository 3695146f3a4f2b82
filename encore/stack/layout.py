"""Where the local stack keeps its files, under ``ENCORE_HOME``."""

from pathlib import Path

from encore.paths import encore_home

HOST = "127.0.0.1"


def state_file(service: str) -> Path:
    """Return the file that records where a server runs."""
    return encore_home() / "stack" / f"{service}.json"


def stack_lock() -> Path:
    """Return the lock held while servers are started or stopped."""
    return encore_home() / "stack" / "lock"


def log_file(service: str) -> Path:
    """Return the log of a server."""
    return encore_home() / "logs" / f"{service}.log"


def service_folder(service: str) -> Path:
    """Return the folder of a server's own files."""
    return encore_home() / service


def secrets_folder() -> Path:
    """Return the folder of passwords, made for its owner's eyes only."""
    folder = encore_home() / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder
