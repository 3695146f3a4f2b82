"""Feature tables counted anew while the stream runs."""

import pytest

from database.engine import transaction
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside
from tests.programs import encore, encore_exit

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]


def test_damaged_tables_are_counted_anew_under_a_running_stream(inside: Inside) -> None:
    pipeline = inside.pipeline
    pipeline.produce("--seed=3", "--max-events=20000")
    inside.count_all(stream_max_offsets_per_trigger=20_000)
    with transaction(pipeline.database) as cursor:
        cursor.execute("UPDATE user_item_affinity SET plays = plays + 1 WHERE user_id < 'u2'")
        cursor.execute("DELETE FROM item_counts_day WHERE item_id < 't3'")
        cursor.execute("DELETE FROM item_listeners")
        cursor.execute("INSERT INTO session_counts SELECT 'nobody', session_id, events, plays, "
                       "completes, skips, ms_played, started_at, last_event_at, logged_out_at "
                       "FROM session_counts LIMIT 5")  # fmt: skip
    with pipeline.streaming() as job:
        pipeline.produce("--seed=3", "--no-entities")
        pipeline.wait_for_progress(job, 4000)
        told = encore("rebuild", env=pipeline.env)
        assert "session_counts" in told
    inside.count_all(stream_max_offsets_per_trigger=20_000)
    pipeline.assert_exact()
    with transaction(pipeline.database) as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'rebuild'")
        assert cursor.fetchall() == [(0,)]


def test_one_table_is_rebuilt_and_an_unknown_one_refused(inside: Inside) -> None:
    pipeline = inside.pipeline
    pipeline.produce("--seed=3", "--max-events=5000")
    inside.count_all(stream_max_offsets_per_trigger=20_000)
    with transaction(pipeline.database) as cursor:
        cursor.execute("DELETE FROM item_counts_hour")
        cursor.execute("DELETE FROM item_counts_day")
    told = encore("rebuild", "--table=item_counts_hour", env=pipeline.env)
    tables = [line.split()[0] for line in told.splitlines() if " rows" in line]
    assert tables == ["item_counts_hour"]
    assert encore_exit("rebuild", "--table=nothing", env=pipeline.env) == 2
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT sum(plays) FROM item_counts_hour UNION ALL SELECT sum(plays) FROM "
            "item_counts_day UNION ALL SELECT sum(plays) FROM item_counts_5m"
        )
        hours, days, five_minutes = (row[0] for row in cursor.fetchall())
    assert (hours, days) == (five_minutes, None)
