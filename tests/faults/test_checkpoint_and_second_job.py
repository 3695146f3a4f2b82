"""Checkpoints lost or spoilt, two jobs at once, and the polite end: every number stays exact."""

import json
import shutil
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from database.engine import transaction
from encore.topics import end_offsets
from tests.faults.pipeline import Pipeline

pytestmark = [pytest.mark.faults, pytest.mark.services]


def lose(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)


def spoil(checkpoint: Path) -> None:
    for file in [one for one in checkpoint.rglob("*") if one.is_file()]:
        file.write_bytes(b"\x00garbage\xff")
    (checkpoint / "metadata").write_bytes(b"\x00garbage\xff")
    (checkpoint / "offsets" / "99").write_bytes(b"\x00garbage\xff")


def make_another_version(checkpoint: Path) -> None:
    """Leave what another version of Spark, with another query on other offsets, would."""
    shutil.rmtree(checkpoint)
    for folder in ("offsets", "commits", "sources/0"):
        (checkpoint / folder).mkdir(parents=True)
    (checkpoint / "metadata").write_text('{"id":"4f6e3f4e-6f7d-4c37-9e05-6c0a0d1c1f11"}')
    offsets = {"another.topic": {"0": 5_000_000}}
    for number in range(3):
        text = f"v999\n{{}}\n{json.dumps(offsets)}"
        (checkpoint / "offsets" / str(number)).write_text(text)
        (checkpoint / "commits" / str(number)).write_text("v999\n{}")


def test_a_checkpoint_lost_spoilt_or_of_another_version_changes_no_number(
    pipeline: Pipeline,
) -> None:
    pipeline.produce("--seed=6")
    harms: list[Callable[[Path], None]] = [lose, spoil, make_another_version]
    for harm in harms:
        with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as job:
            pipeline.wait_for_progress(job, 2500)
            job.kill()
        (events,) = pipeline.folder.glob(f"home/checkpoints/*/{pipeline.topics.events}")
        assert (events / "offsets").is_dir()
        for checkpoint in events.parent.iterdir():
            if (checkpoint / "offsets").is_dir():
                harm(checkpoint)
    pipeline.count_all(STREAM_MAX_OFFSETS_PER_TRIGGER="20000")
    pipeline.assert_exact()


def test_a_second_job_is_refused_and_the_first_ends_when_asked_to(pipeline: Pipeline) -> None:
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
    pipeline.count_all(STREAM_MAX_OFFSETS_PER_TRIGGER="20000")
    pipeline.assert_exact()


def somebody_waits_for(pipeline: Pipeline, table: str) -> bool:
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", (table,)
        )
        return bool(cursor.fetchall()[0][0])
