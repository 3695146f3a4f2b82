"""The migrated database: the declared tables, their comments, and what the views make of them."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from database.engine import connect, make_engine, transaction
from database.migrate import pending, upgrade
from database.schema import METADATA
from database.tables_doc import tables_markdown
from encore.errors import ServiceUnavailableError

pytestmark = pytest.mark.services

DOC = Path(__file__).parents[2] / "docs" / "tables.md"


def test_migrations_make_exactly_the_declared_tables(database_url: str) -> None:
    assert pending(database_url)
    upgrade(database_url)
    assert not pending(database_url)
    engine = make_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    upgrade(database_url)
    assert not pending(database_url)


def test_every_table_view_and_column_says_what_it_holds(database_url: str) -> None:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a "
            "ON a.attrelid = c.oid AND a.attnum > 0 "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p') "
            "AND c.relname <> 'alembic_version' "
            "AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
        )
        assert cursor.fetchall() == []


def test_the_document_of_the_tables_is_what_the_database_says(database_url: str) -> None:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        assert tables_markdown(cursor) == DOC.read_text(encoding="utf-8")
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'v', 'p') AND NOT relispartition "
            "AND relname <> 'alembic_version'"
        )
        text = DOC.read_text(encoding="utf-8")
        assert [name for (name,) in cursor.fetchall() if f"### {name}\n" not in text] == []


def test_a_session_is_open_until_it_times_out_or_logs_out(database_url: str) -> None:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        cursor.execute(
            "INSERT INTO feature_settings VALUES ('feature_session_timeout_minutes', 30)"
        )
        cursor.execute(
            "INSERT INTO session_counts (user_id, session_id, started_at, last_event_at, "
            "logged_out_at) VALUES "
            "('u1', 'lasting', now() - interval '2 hours', now() - interval '29 minutes', NULL), "
            "('u1', 'silent', now() - interval '2 hours', now() - interval '31 minutes', NULL), "
            "('u1', 'left', now() - interval '1 hour', now(), now()), "
            "('u1', 'back', now() - interval '1 hour', now(), now() - interval '5 minutes')"
        )
        cursor.execute("SELECT session_id, open, ended_at IS NULL FROM sessions ORDER BY 1")
        assert cursor.fetchall() == [
            ("back", True, True),
            ("lasting", True, True),
            ("left", False, False),
            ("silent", False, False),
        ]


def test_heat_orders_decayed_scores_as_they_are_at_any_moment(database_url: str) -> None:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        # Half-life 1 h: 8 three hours ago is 1 now, less than 1.5 now and more than 0.9 now.
        cursor.execute(
            "SELECT name FROM (VALUES ('old 8', heat(8, now() - interval '3 hours', 3600)), "
            "('new 1.5', heat(1.5, now(), 3600)), ('new 0.9', heat(0.9, now(), 3600)), "
            "('none', heat(0, now(), 3600))) AS t (name, heat) "
            "WHERE heat IS NOT NULL ORDER BY heat DESC"
        )
        assert cursor.fetchall() == [("new 1.5",), ("old 8",), ("new 0.9",)]


def test_a_decayed_sum_underflows_to_nothing_and_not_into_an_error(database_url: str) -> None:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        cursor.execute(
            "SELECT halved(1, interval '100 years', 3600), halved(8, interval '1h', 3600)"
        )
        ((nothing, half),) = cursor.fetchall()
    assert nothing < 1e-300
    assert half == 4.0


def test_a_database_that_is_away_is_told_in_one_line_without_its_password() -> None:
    with pytest.raises(ServiceUnavailableError) as told:
        connect("postgresql://someone:secret@127.0.0.1:1/nowhere")
    assert "encore up postgres" in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)
