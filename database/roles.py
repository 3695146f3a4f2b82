"""Roles of PostgreSQL: for each part one that may do what the part does, and no more.

The group roles (``encore_streaming``, ``encore_training``, ``encore_api``) have the rights, those
who log in are members. A member acts as its group, so that what one of them makes belongs to all.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from psycopg2 import errors, extensions, sql

from database.engine import connect
from encore.errors import EncoreError
from encore.settings import Settings

APPLICATION_NAME: Final = "encore roles"


@dataclass(frozen=True, slots=True)
class Part:
    """A role that logs in, the group whose rights it has, and the commands that it is for."""

    login: str
    group: str
    commands: str


PARTS: Final = (
    Part("encore_stream", "encore_streaming", "encore stream, rebuild, rejected"),
    Part("encore_train", "encore_training", "encore train, live, rollback"),
    Part("encore_serve", "encore_api", "encore serve"),
)


def passwords(settings: Settings) -> dict[str, str]:
    """Return the passwords that the settings give, by role."""
    given = {
        "encore_stream": settings.postgres_stream_password,
        "encore_train": settings.postgres_train_password,
        "encore_serve": settings.postgres_serve_password,
    }
    return {login: one.get_secret_value() for login, one in given.items()}


def make_roles(
    administrator: extensions.connection, url: str, given: Mapping[str, str]
) -> Sequence[Part]:
    """Make the group roles, and who logs in where there is a password; return these.

    ``administrator`` may make roles, ``url`` is the owner's. Roles that are there get the password;
    calling it again changes nothing else.

    Raises:
        EncoreError: the administrator may not make roles, or the database lacks tables.
    """
    owner = urlsplit(url).username or ""
    made = [part for part in PARTS if given.get(part.login)]
    try:
        with administrator, administrator.cursor() as cursor:
            for part in PARTS:
                _make_group(cursor, part.group, owner)
            for part in made:
                _make_login(cursor, part, given[part.login])
        with closing(connect(url, application_name=APPLICATION_NAME)) as own, own:
            own.cursor().execute("SELECT grant_roles()")
    except errors.InsufficientPrivilege as error:
        raise EncoreError(
            f"DATABASE_URL may not make roles ({str(error).splitlines()[0]}). Run `encore roles` "
            "once with that of the database's owner when it has CREATEROLE, or a superuser."
        ) from None
    except errors.UndefinedFunction:
        raise EncoreError(
            "the database lacks tables. Bring it up to date with `encore migrate`."
        ) from None
    return made


def url_of(url: str, login: str, password: str) -> str:
    """Return the URL of the same database for another role."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{login}:{quote(password, safe='')}@{host}").geturl()


def _make_group(cursor: extensions.cursor, group: str, owner: str) -> None:
    cursor.execute("SELECT to_regrole(%s) IS NULL", (group,))
    ((lacking,),) = cursor.fetchall()
    names = {"group": sql.Identifier(group), "owner": sql.Identifier(owner)}
    if lacking:
        cursor.execute(sql.SQL("CREATE ROLE {group} NOLOGIN").format(**names))
    # What a part makes, the owner can still mend, and hand over to it.
    cursor.execute(sql.SQL("GRANT {group} TO {owner}").format(**names))


def _make_login(cursor: extensions.cursor, part: Part, password: str) -> None:
    cursor.execute("SELECT to_regrole(%s) IS NULL", (part.login,))
    ((lacking,),) = cursor.fetchall()
    # The server is sent a verifier, so that no log of it can hold the password.
    verifier = extensions.encrypt_password(
        password, part.login, scope=cursor.connection, algorithm="scram-sha-256"
    )
    names = {"login": sql.Identifier(part.login), "group": sql.Identifier(part.group)}
    verb = sql.SQL("CREATE" if lacking else "ALTER")
    for statement in (
        "{verb} ROLE {login} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}",
        "GRANT {group} TO {login}",
        "ALTER ROLE {login} SET role = {group}",
    ):
        cursor.execute(
            sql.SQL(statement).format(verb=verb, password=sql.Literal(verifier), **names)
        )
