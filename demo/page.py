"""The demo's page: where it is, and the key that opens it.

The key is made by the command line as anyone's is, and kept among the stack's secrets, so that a
page that is open stays open over the next start. It may do everything: the data are the demo's own.
"""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

from database.engine import connect
from encore.errors import EncoreError
from encore.settings import settings
from encore.stack import layout
from encore.stack.process import free_port
from encore.stack.state import write_atomically

_KEY: Final = re.compile(r"encore_([0-9a-f]{8})_[0-9a-f]{64}")


class Page:
    """Where the demo's API answers, and its key."""

    def __init__(self) -> None:
        """Take a port: SERVE_PORT where it is free."""
        wanted = settings().serve_port
        self._port = free_port([wanted] if wanted else [])
        self.key = ""

    @property
    def address(self) -> str:
        """Return where a browser finds it."""
        return f"http://{layout.HOST}:{self._port}/"

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of ``encore`` that serve it."""
        return ["serve", "--host", layout.HOST, "--port", str(self._port)]

    @property
    def key_file(self) -> Path:
        """Return the file that the key is kept in, for its owner's eyes only."""
        return layout.secrets_folder() / "demo-key"

    def take_key(self, database: str) -> None:
        """Take the key of the start before if it still counts, else make one.

        Raises:
            EncoreError: none can be made.
        """
        kept = self.key_file.read_text(encoding="utf-8").strip() if self.key_file.exists() else ""
        if not _counts(database, kept):
            kept = _make()
            write_atomically(self.key_file, kept + "\n", mode=0o600)
        self.key = kept

    def lines(self) -> tuple[str, ...]:
        """Return what to tell the person at the terminal."""
        return (f"the page: {self.address}   its key: {self.key}",) if self.key else ()


def _counts(database: str, key: str) -> bool:
    found = _KEY.fullmatch(key)
    if found is None:
        return False
    with closing(connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM api_keys WHERE key_id = %s AND revoked_at IS NULL", (found[1],))
        return cursor.rowcount > 0


def _make() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "encore", "keys", "make", "demo", "--role", "admin"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    key = done.stdout.strip()
    if done.returncode or _KEY.fullmatch(key) is None:
        said = done.stderr.strip().splitlines()[-1:]
        raise EncoreError(f"no key of the API could be made: {' '.join(said)}")
    return key
