"""What other programs need in their environment to reach the same services."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from encore.errors import ServiceUnavailableError
from encore.settings import settings
from encore.spark import spark_environment
from encore.stack.credentials import passfile
from encore.stack.endpoints import database_url, kafka_bootstrap_servers, redis_url
from encore.stack.local import is_external


def shell_environment(*, with_secrets: bool) -> dict[str, str]:
    """Return the variables of ``encore env``: Spark's, and those of the services that exist.

    The password of the local PostgreSQL stays in its file, that of another one is left out,
    unless ``with_secrets``; so does Redis, whose only address has its password in it.
    """
    variables = spark_environment()
    if settings().encore_home:
        variables["ENCORE_HOME"] = str(Path(settings().encore_home).resolve())
    try:
        variables["KAFKA_BOOTSTRAP_SERVERS"] = kafka_bootstrap_servers()
        variables |= psql_environment()
    except ServiceUnavailableError:
        pass  # not started yet, which is no reason to withhold the rest
    if with_secrets and "PGHOST" in variables:
        secrets = {"DATABASE_URL": database_url(), "REDIS_URL": redis_url()}
        return variables | {name: one for name, one in secrets.items() if one}
    variables.pop("PGPASSWORD", None)
    return variables


def psql_environment() -> dict[str, str]:
    """Return libpq's variables for the database, the password included where none is on file."""
    url = urlsplit(database_url())
    variables = {
        "PGHOST": unquote(url.hostname or ""),
        "PGPORT": str(url.port or 5432),
        "PGUSER": unquote(url.username or ""),
        "PGDATABASE": unquote(url.path.lstrip("/")),
    }
    if not is_external("postgres"):
        variables["PGPASSFILE"] = str(passfile())
    elif url.password:
        variables["PGPASSWORD"] = unquote(url.password)
    return variables


def export_lines(variables: Mapping[str, str]) -> list[str]:
    """Return shell lines that set the variables and put this installation's programs first."""
    programs = shlex.quote(str(Path(sys.executable).parent))
    path = f'case ":$PATH:" in *:{programs}:*) ;; *) export PATH={programs}:"$PATH" ;; esac'
    return [path, *(f"export {key}={shlex.quote(one)}" for key, one in sorted(variables.items()))]
