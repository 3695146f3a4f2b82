"""The passwords of the local servers: made once, kept in files only their owner reads."""

import secrets
from pathlib import Path

from encore.settings import settings
from encore.stack import layout
from encore.stack.state import write_atomically

ADMIN_USER = "encore_admin"


def admin_password() -> str:
    """Return the superuser's password, made at the first call."""
    return _kept("admin-password")


def user_password() -> str:
    """Return the password of the database's owner: ``POSTGRES_PASSWORD``, else one of our own."""
    given = settings().postgres_password.get_secret_value()
    return given or _kept("user-password")


def redis_password() -> str:
    """Return the local Redis' password, made at the first call."""
    return _kept("redis-password")


def _kept(name: str) -> str:
    path = layout.secrets_folder() / name
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        made = secrets.token_urlsafe(24)
        write_atomically(path, made + "\n", mode=0o600)
        return made


def passfile() -> Path:
    """Return libpq's password file of the database's owner."""
    return layout.secrets_folder() / "pgpass"


def write_passfile(port: int) -> None:
    """Let ``psql`` find the password of the database's owner through ``PGPASSFILE``."""
    user = settings().postgres_user
    line = ":".join(escape(part) for part in (layout.HOST, str(port), "*", user, user_password()))
    write_atomically(passfile(), line + "\n", mode=0o600)


def escape(part: str) -> str:
    """Escape one field of a libpq password file."""
    return part if part == "*" else part.replace("\\", "\\\\").replace(":", "\\:")
