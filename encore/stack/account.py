"""Whom a server runs as: PostgreSQL refuses to run as root."""

import hashlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encore.errors import EncoreError
from encore.log import get_logger

log = get_logger("stack")

CANDIDATES = ("postgres", "nobody")
SHARED_ROOT = Path("/var/lib/encore")


@dataclass(frozen=True, slots=True)
class Account:
    """A system user that a child process becomes."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``subprocess`` that make a child this user and no more."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this user can reach a folder through all of its parents."""
        probe = subprocess.run(
            ["test", "-x", str(folder)], check=False, cwd="/", **self.popen_arguments()
        )
        return probe.returncode == 0


def unprivileged_account() -> Account | None:
    """Return the user to become when we are root, None when we are not.

    Raises:
        EncoreError: root, on a system without any of the expected users.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EncoreError(
        f"PostgreSQL does not run as root and there is no user {' or '.join(CANDIDATES)}. "
        "Add one (`useradd --system postgres`) or run as another user."
    )


def reachable_folder(preferred: Path, account: Account | None) -> Path:
    """Return a folder that the account can enter: the preferred one, or one outside closed homes.

    The parents of a checkout under ``/root`` or in a ``mktemp -d`` are closed to other users.
    """
    preferred.mkdir(parents=True, exist_ok=True)
    if account is None or account.can_enter(preferred):
        return preferred
    digest = hashlib.sha256(str(preferred).encode()).hexdigest()[:12]
    folder = SHARED_ROOT / digest
    if not folder.exists():
        log.info("folder is closed to the server's user, using another",
                 closed=str(preferred), user=account.name, used=str(folder))  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for one in (SHARED_ROOT, folder):
        one.chmod(0o755)
    return folder
