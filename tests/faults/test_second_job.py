"""Two jobs at once, and the polite end: every number stays exact."""

import signal
from contextlib import closing

import psycopg2
import pytest

from database.engine import transaction
from encore.topics import end_offsets
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside
from tests.faults.pipeline import Pipeline

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]


def test_a_second_job_is_refused_and_the_first_ends_when_asked_to(inside: Inside) -> None:
    pipeline = inside.pipeline
    pipeline.produce("--seed=7", "--max-events=4000")
    with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as first:
        pipeline.wait_for_progress(first, 1000)
        said = pipeline.refused()
        assert f"another streaming job counts {pipeline.topics.items} into this database" in said
        pipeline.produce("--seed=8", "--no-entities", "--max-events=3000")
        goal = sum(end_offsets(pipeline.kafka, [pipeline.topics.events]).values())
        first.wait_until(
            lambda: pipeline.counted() == goal, timeout=90, what="the first has counted all"
        )
        first.kill()
    # What PostgreSQL held for the dead job is free by now: the next one starts at once.
    started = pipeline.said().count('"reading"') + 3
    with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as next_one:
        next_one.wait_until(
            lambda: pipeline.said().count('"reading"') == started, timeout=90, what="it reads"
        )
        with closing(psycopg2.connect(pipeline.database)) as session:
            session.cursor().execute("LOCK TABLE minute_users IN ACCESS EXCLUSIVE MODE")
            pipeline.produce("--seed=9", "--no-entities", "--max-events=3000")
            next_one.wait_until(
                lambda: somebody_waits_for(pipeline, "minute_users"),
                timeout=90,
                what="a batch is in the middle of its merge",
            )
            counted = pipeline.counted()
            next_one.ask(signal.SIGTERM)
            next_one.wait_until(
                lambda: "asked to" in pipeline.said(), timeout=60, what="it was told to stop"
            )
            assert pipeline.counted() == counted
        # The lock is free: the batch in hand ends, and no other is begun.
        assert next_one.ends(timeout=60) == 0
    assert counted < pipeline.counted() <= counted + 1000
    assert pipeline.staging_tables() == 0
    inside.count_all(stream_max_offsets_per_trigger=20_000)
    pipeline.assert_exact()


def somebody_waits_for(pipeline: Pipeline, table: str) -> bool:
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", (table,)
        )
        return bool(cursor.fetchall()[0][0])
