"""What other programs need in their environment to reach the same services."""

from urllib.parse import unquote, urlsplit

from encore.settings import settings
from encore.stack.credentials import passfile
from encore.stack.endpoints import database_url


def psql_environment() -> dict[str, str]:
    """Return libpq's variables for the database, the password included where none is on file."""
    url = urlsplit(database_url())
    variables = {
        "PGHOST": unquote(url.hostname or ""),
        "PGPORT": str(url.port or 5432),
        "PGUSER": unquote(url.username or ""),
        "PGDATABASE": unquote(url.path.lstrip("/")),
    }
    if not settings().database_url.get_secret_value():
        variables["PGPASSFILE"] = str(passfile())
    elif url.password:
        variables["PGPASSWORD"] = unquote(url.password)
    return variables
