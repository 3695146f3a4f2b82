"""API keys: ``encore_<key id>_<secret>``, of which the database holds a digest.

A secret has 256 random bits, so that nobody finds it from its SHA-256 by trying, and no slow digest
is needed.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg2 import extensions

from encore.errors import EncoreError

_PATTERN: Final = re.compile(r"encore_([0-9a-f]{8})_([0-9a-f]{64})")


class Role(StrEnum):
    """What a key may do: each may do what the ones before it may."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, wanted: "Role") -> bool:
        """Tell whether this role may do what another may."""
        return _ORDER[self] >= _ORDER[wanted]


_ORDER: Final = {one: place for place, one in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the database knows it."""

    key_id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


def split(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key, or None where it has not the form of one."""
    found = _PATTERN.fullmatch(text)
    return (found[1], found[2]) if found else None


def digest(secret: str) -> bytes:
    """Return what the database holds of a secret."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def same(secret: str, known: bytes) -> bool:
    """Compare a secret with a digest, in a time that says nothing of where they differ."""
    return hmac.compare_digest(digest(secret), known)


def make(cursor: extensions.cursor, name: str, role: Role) -> str:
    """Make a key and return it: it cannot be read again."""
    key_id, secret = secrets.token_hex(4), secrets.token_hex(32)
    cursor.execute(
        "INSERT INTO api_keys (key_id, name, role, digest) VALUES (%s, %s, %s, %s)",
        (key_id, name, role.value, digest(secret)),
    )
    return f"encore_{key_id}_{secret}"


def revoke(cursor: extensions.cursor, key_id: str) -> None:
    """Let a key count no more.

    Raises:
        EncoreError: there is none of that id, or it was revoked before.
    """
    cursor.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
    )
    if cursor.rowcount == 0:
        raise EncoreError(
            f"there is no key {key_id!r} that counts. `encore keys list` shows their ids."
        )


def every(cursor: extensions.cursor) -> list[Key]:
    """Return all keys, newest first."""
    cursor.execute(
        "SELECT key_id, name, role, created_at, revoked_at FROM api_keys"
        " ORDER BY created_at DESC, key_id"
    )
    return [Key(row[0], row[1], Role(row[2]), row[3], row[4]) for row in cursor.fetchall()]
