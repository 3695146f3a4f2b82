"""Topics on a real broker."""

import dataclasses

import pytest
from kafka import KafkaProducer

from encore.errors import EncoreError, ServiceUnavailableError
from encore.events import Topics
from encore.settings import load_settings
from encore.stack.process import free_port
from encore.topics import (
    admin_client,
    beginning_offsets,
    describe,
    end_offsets,
    ensure_topics,
    stamped_by_senders,
    topic_ids,
    wait_for_kafka,
)

pytestmark = pytest.mark.services


def test_topics_are_created_as_the_settings_say(kafka: str, topics: Topics) -> None:
    events, items, users = describe(kafka, topics.all())
    assert [events.name, items.name, users.name] == [topics.events, topics.items, topics.users]
    assert (events.partitions, events.cleanup_policy) == (4, "delete")
    assert events.retention_ms == 7 * 86_400_000
    assert (items.cleanup_policy, users.cleanup_policy) == ("compact", "compact")
    assert items.retention_ms == -1


def test_creating_topics_again_changes_nothing(kafka: str, topics: Topics) -> None:
    before = topic_ids(kafka, topics.all())
    ensure_topics(kafka, topics, load_settings(kafka_partitions=9))
    assert topic_ids(kafka, topics.all()) == before
    assert describe(kafka, [topics.events])[0].partitions == 4


def test_only_the_missing_topics_are_created(kafka: str, topics: Topics) -> None:
    more = dataclasses.replace(topics, users=f"{topics.users}-more")
    before = topic_ids(kafka, [topics.events])
    ensure_topics(kafka, more, load_settings())
    assert topic_ids(kafka, [topics.events]) == before
    assert describe(kafka, [more.users])[0].cleanup_policy == "compact"
    with admin_client(kafka) as admin:
        admin.delete_topics([more.users])


def test_offsets_count_the_records_of_each_partition(kafka: str, topics: Topics) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    for partition, count in ((0, 2), (3, 1)):
        for _ in range(count):
            producer.send(topics.events, b"{}", partition=partition)
    producer.close()
    expected = {0: 2, 1: 0, 2: 0, 3: 1}
    assert end_offsets(kafka, [topics.events]) == {
        (topics.events, partition): offset for partition, offset in expected.items()
    }
    assert set(beginning_offsets(kafka, [topics.events]).values()) == {0}


def test_a_record_carries_the_time_of_its_arrival(kafka: str, topics: Topics) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    sent = producer.send(topics.events, b"{}", timestamp_ms=1_000_000_000_000)
    arrival = sent.get(timeout=10).timestamp
    producer.close()
    assert arrival > 1_600_000_000_000


def test_a_topic_stamped_by_its_senders_is_told_apart(kafka: str, topics: Topics) -> None:
    other = f"{topics.events}.foreign"
    with admin_client(kafka) as admin:
        admin.create_topics({other: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([other], timeout_ms=10_000)
    try:
        assert stamped_by_senders(kafka, [*topics.all(), other]) == [other]
    finally:
        with admin_client(kafka) as admin:
            admin.delete_topics([other])


def test_a_message_above_one_mebibyte_is_taken(kafka: str, topics: Topics) -> None:
    producer = KafkaProducer(
        bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_request_size=8_000_000
    )
    offset = producer.send(topics.events, b"x" * 4_000_000, partition=0).get(timeout=10).offset
    producer.close()
    assert offset == 0


def test_a_topic_made_anew_has_another_id(kafka: str, topics: Topics) -> None:
    name = f"{topics.events}-again"
    alone = dataclasses.replace(topics, events=name)
    ensure_topics(kafka, alone, load_settings())
    first = topic_ids(kafka, [name])
    with admin_client(kafka) as admin:
        admin.delete_topics([name])
    ensure_topics(kafka, alone, load_settings())
    assert topic_ids(kafka, [name]) != first
    with admin_client(kafka) as admin:
        admin.delete_topics([name])


def test_a_missing_topic_is_not_made_by_asking_for_it(kafka: str) -> None:
    for _ in range(2):
        with pytest.raises(EncoreError, match=r"no topic nowhere\. Create it with `encore topics"):
            topic_ids(kafka, ["nowhere"])


def test_waiting_for_a_kafka_that_is_away_ends_with_what_to_do() -> None:
    nowhere = f"127.0.0.1:{free_port([])}"
    with pytest.raises(ServiceUnavailableError, match=r"within 0\.1 s.*encore up kafka"):
        wait_for_kafka(nowhere, timeout_seconds=0.1)
