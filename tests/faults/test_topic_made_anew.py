"""A topic that is no longer what was counted: deleted and made anew, or emptied by retention."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from kafka import KafkaProducer, TopicPartition

from database.engine import transaction
from encore.errors import EncoreError
from encore.topics import admin_client, end_offsets
from tests.comparison import differences
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside
from tests.faults.pipeline import Pipeline
from tests.oracle import Record, expect
from tests.programs import Program

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

AFTER = 1_000_000  # added to the offsets of a later topic, so that they follow those before


def test_a_topic_made_anew_is_counted_on_top_when_that_is_accepted(inside: Inside) -> None:
    pipeline = inside.pipeline
    pipeline.produce("--seed=12", "--no-entities", "--max-events=3000")
    with pipeline.streaming() as job:
        wait_until_all_is_counted(pipeline, job)
        counted = pipeline.records()
        with job.held():  # else it may look while there is no such topic at all
            delete(pipeline)
            # The same events again and more: every counted offset exists in the new topic too.
            pipeline.produce("--seed=12", "--no-entities", "--max-events=9000")
        assert job.ends(timeout=120) == 1
    assert_it_names_the_way_on(pipeline, pipeline.said())
    with pytest.raises(EncoreError) as at_the_start:
        inside.count_all()
    assert_it_names_the_way_on(pipeline, str(at_the_start.value))
    assert_exact_over(pipeline, [counted])
    with pipeline.streaming("--accept-topic-reset") as job:
        wait_until_all_is_counted(pipeline, job)
        both = [counted, pipeline.records()]
        assert_exact_over(pipeline, both)
        pipeline.produce("--seed=13", "--no-entities", "--max-events=500")
        wait_until_all_is_counted(pipeline, job)
        both = [counted, pipeline.records()]
        # Now with fewer records than were counted.
        with job.held():
            delete(pipeline)
            pipeline.produce("--seed=14", "--no-entities", "--max-events=700")
        assert job.ends(timeout=120) == 1
    assert_it_names_the_way_on(pipeline, pipeline.said().rsplit('"reading"', 1)[-1])
    assert_exact_over(pipeline, both)
    pipeline.count_all("--accept-topic-reset")
    assert_exact_over(pipeline, [*both, pipeline.records()])


def test_unread_records_that_retention_removed_are_told_and_aborted_ones_not_counted(
    inside: Inside,
) -> None:
    pipeline = inside.pipeline
    aborted = send_in_transactions(pipeline)
    held = [record for record in pipeline.records() if record.value not in aborted]
    inside.count_all()
    pipeline.assert_exact(held)
    # 3 records, a commit, 2 aborted records, an abort
    assert pipeline.counted() == 7
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT sum(accepted), sum(duplicate), sum(gaps) FROM stream_offsets WHERE topic = %s",
            (pipeline.topics.events,),
        )
        assert cursor.fetchall() == [(3, 0, 4)]
    pipeline.produce("--seed=15", "--no-entities", "--max-events=500")
    ends = end_offsets(pipeline.kafka, [pipeline.topics.events])
    before = counted_offsets(pipeline)
    with admin_client(pipeline.kafka) as admin:
        kept = {0: before[0] + 5, 2: before[2] + 2}
        assert all(ends[pipeline.topics.events, part] > offset for part, offset in kept.items())
        admin.delete_records(
            {TopicPartition(pipeline.topics.events, part): at for part, at in kept.items()}
        )
    said = (
        f"Kafka has thrown away records of {pipeline.topics.events} that were never counted: "
        "7 in partitions [0, 2]"
    )
    with pytest.raises(EncoreError, match=re.escape(said)):
        inside.count_all()
    assert counted_offsets(pipeline) == before
    pipeline.assert_exact(held)


def send_in_transactions(pipeline: Pipeline) -> set[bytes]:
    """Send three events in a transaction that commits, and two that abort; return the two."""
    producer = KafkaProducer(
        bootstrap_servers=pipeline.kafka, transactional_id=f"tests-{uuid.uuid4().hex}"
    )
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for number in (1, 2, 3):
            producer.send(pipeline.topics.events, event(number), partition=1)
        producer.commit_transaction()
        producer.begin_transaction()
        for number in (4, 5):
            producer.send(pipeline.topics.events, event(number), partition=1)
        producer.flush()
        producer.abort_transaction()
    finally:
        producer.close()
    return {event(4), event(5)}


def event(number: int) -> bytes:
    return json.dumps(
        {
            "event_id": f"0d6b1f60-5c1e-4c7e-9a53-0a4d8f0f8a0{number}",
            "schema_version": 1,
            "event_type": "like",
            "event_ts": 1_700_000_000_000 + number,
            "user_id": "u1",
            "item_id": "t1",
        }
    ).encode()


def delete(pipeline: Pipeline) -> None:
    with admin_client(pipeline.kafka) as admin:
        admin.delete_topics([pipeline.topics.events])


def counted_offsets(pipeline: Pipeline) -> dict[int, int]:
    with transaction(pipeline.database) as cursor:
        cursor.execute(
            "SELECT partition, next_offset FROM stream_offsets WHERE topic = %s "
            "AND closed_at IS NULL",
            (pipeline.topics.events,),
        )
        return dict(cursor.fetchall())


def wait_until_all_is_counted(pipeline: Pipeline, job: Program) -> None:
    ends = end_offsets(pipeline.kafka, [pipeline.topics.events])
    wanted = {partition: offset for (_, partition), offset in ends.items()}
    job.wait_until(
        lambda: counted_offsets(pipeline) == wanted, timeout=120, what=f"{wanted} are counted"
    )


def assert_it_names_the_way_on(pipeline: Pipeline, said: str) -> None:
    assert (
        f"Kafka topic {pipeline.topics.events} was deleted and created again since it was last "
        "counted" in said
    ), said[-4000:]
    assert "`encore stream --accept-topic-reset`" in said


def assert_exact_over(pipeline: Pipeline, topics: Sequence[Sequence[Record]]) -> None:
    """Hold tables, accounts and rejected records to what topics of one name held in turn."""
    every = [
        replace(record, offset=record.offset + number * AFTER)
        for number, records in enumerate(topics)
        for record in records
    ]
    expected = expect(every)
    assert expected.accepted
    with transaction(pipeline.database) as cursor:
        found = differences(cursor, expected)
        assert {name: (len(lines), lines[:3]) for name, lines in found.items()} == {}
        cursor.execute(
            "SELECT partition, sum(accepted), sum(late), sum(duplicate), sum(rejected) "
            "FROM stream_offsets WHERE topic = %s GROUP BY partition",
            (pipeline.topics.events,),
        )
        assert {part: list(rest) for part, *rest in cursor.fetchall()} == {
            part: list(account.values()) for part, account in expected.accounts.items()
        }
        cursor.execute(
            "SELECT partition, reason, raw FROM rejected_events WHERE topic = %s",
            (pipeline.topics.events,),
        )
        assert Counter((part, why, bytes(raw)) for part, why, raw in cursor.fetchall()) == Counter(
            (part, why, raw) for (part, _), (why, _, raw) in expected.rejected.items()
        )
