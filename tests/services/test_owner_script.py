"""The script that prepares the database's container, run by a real psql on a real server."""

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2.extensions import connection

from encore.paths import PROJECT_ROOT
from encore.stack.credentials import ADMIN_USER, admin_password

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed"),
]

SCRIPT = PROJECT_ROOT / "database" / "owner.sql"


def connect(url: str, user: str, password: str, database: str) -> connection:
    at = urlsplit(url)
    return psycopg2.connect(
        host=at.hostname, port=at.port, user=user, password=password, dbname=database
    )


def run(statement: str, url: str) -> None:
    with closing(connect(url, ADMIN_USER, admin_password(), "postgres")) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(statement)


def test_the_owner_may_log_in_and_the_superuser_may_not_any_more(
    postgres_url: str, tmp_path: Path
) -> None:
    at = urlsplit(postgres_url)
    run("CREATE ROLE container_super SUPERUSER LOGIN PASSWORD 'first'", postgres_url)
    run("CREATE DATABASE container_db OWNER container_super", postgres_url)
    done = subprocess.run(
        ["psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-f", str(SCRIPT)],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": str(at.hostname),
            "PGPORT": str(at.port),
            "PGUSER": "container_super",
            "PGPASSWORD": "first",
            "PGDATABASE": "container_db",
            "DATABASE_OWNER": "container_owner",
            "POSTGRES_USER": "container_super",
            "POSTGRES_PASSWORD": "it's 'quoted'",
            "POSTGRES_DB": "container_db",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    owner = connect(postgres_url, "container_owner", "it's 'quoted'", "container_db")
    with closing(owner), owner.cursor() as cursor:
        cursor.execute("CREATE TABLE made (n int)")
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        connect(postgres_url, "container_super", "first", "container_db")
    run("DROP DATABASE container_db", postgres_url)
    run("DROP ROLE container_owner", postgres_url)
    run("DROP ROLE container_super", postgres_url)
