"""Kafka's topics: wait for the brokers, create what is missing, read ids and offsets."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from encore.errors import EncoreError, ServiceUnavailableError
from encore.events import Topics
from encore.log import get_logger
from encore.settings import Settings

log = get_logger("kafka")

CALL_MS = 10_000
REMIND_SECONDS = 5.0
MAX_MESSAGE_BYTES = 16_777_216  # as message.max.bytes in kafka/server.properties
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the brokers have it. ``retention_ms`` is -1 where nothing is thrown away."""

    name: str
    topic_id: str
    partitions: int
    cleanup_policy: str
    retention_ms: int
    beginning: int
    end: int


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # kafka-python has no types
    """An admin client whose failed construction leaves neither thread nor socket behind."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            if hasattr(self, "_net"):
                self._closed = False
                self.close()
            raise


@contextmanager
def admin_client(bootstrap: str, timeout_ms: int = CALL_MS) -> Iterator[KafkaAdminClient]:
    """Connect to the brokers.

    Raises:
        ServiceUnavailableError: none of them answers.
    """
    servers = bootstrap.split(",")
    try:
        _reach_any(servers, timeout_ms / 1000)
        client = _Admin(
            bootstrap_servers=servers,
            client_id="encore",
            bootstrap_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms,
        )
    except (KafkaError, OSError, ValueError) as error:
        raise ServiceUnavailableError(
            f"Kafka does not answer at {bootstrap} ({error}). Start it with `encore up kafka`, "
            "or correct KAFKA_BOOTSTRAP_SERVERS."
        ) from None
    try:
        yield client
    finally:
        client.close()


def _reach_any(servers: Sequence[str], timeout_seconds: float) -> None:
    # kafka-python leaves the socket of a refused connection open: it is not asked before somebody
    # listens.
    problem = OSError("no broker is named")
    for server in servers:
        try:
            with socket.create_connection(host_and_port(server), timeout_seconds):
                return
        except OSError as error:
            problem = error
    raise problem


def host_and_port(server: str) -> tuple[str, int]:
    """Split ``host:port``, ``[ipv6]:port`` or ``host``, whose port is 9092.

    Raises:
        ValueError: the port is no number.
    """
    name = server.strip()
    host, separator, port = name.rpartition(":")
    if not separator or name.endswith("]"):
        return name.strip("[]"), 9092
    return host.strip("[]"), int(port)


def check_kafka(bootstrap: str, timeout_ms: int = 2_000) -> int:
    """Return how many brokers the cluster has; raise if it does not answer."""
    with admin_client(bootstrap, timeout_ms) as admin:
        return len(admin.describe_cluster()["brokers"])


def wait_for_kafka(bootstrap: str, timeout_seconds: float) -> None:
    """Wait until the brokers answer a metadata call, telling every few seconds.

    Raises:
        ServiceUnavailableError: they did not within ``timeout_seconds``.
    """
    started = told = time.monotonic()
    while True:
        try:
            check_kafka(bootstrap)
        except (KafkaError, ServiceUnavailableError):
            now = time.monotonic()
            if now - started > timeout_seconds:
                raise ServiceUnavailableError(
                    f"Kafka did not answer at {bootstrap} within {timeout_seconds:g} s. "
                    "Start it with `encore up kafka`, or correct KAFKA_BOOTSTRAP_SERVERS."
                ) from None
            if told == started or now - told > REMIND_SECONDS:
                log.warning(f"waiting for Kafka at {bootstrap}", seconds=round(now - started, 1))
                told = now
            time.sleep(0.2)
        else:
            return


def ensure_topics(bootstrap: str, topics: Topics, settings: Settings) -> None:
    """Create the topics that are missing, with the partitions and retention of the settings.

    A topic that exists is left as it is.

    Raises:
        ServiceUnavailableError: Kafka does not answer.
        EncoreError: Kafka refuses to create a topic.
    """
    with admin_client(bootstrap) as admin:
        missing = sorted(set(topics.all()) - set(admin.list_topics()))
        wanted = {name: _wanted(name, topics, settings) for name in missing}
        if wanted:
            _create(admin, wanted)


def _wanted(name: str, topics: Topics, settings: Settings) -> dict[str, Any]:
    return {
        "num_partitions": settings.kafka_partitions,
        "replication_factor": settings.kafka_replication_factor,
        "configs": topic_config(name, topics, settings),
    }


def _create(admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        admin.create_topics(wanted, raise_errors=True)
    except TopicAlreadyExistsError:
        pass  # someone else made one of them first: the others are made all the same
    except (KafkaError, RuntimeError) as error:  # the latter while there is no controller yet
        raise EncoreError(f"Kafka did not create {', '.join(wanted)}: {error}") from None
    admin.wait_for_topics(list(wanted), timeout_ms=CALL_MS)
    for name, one in wanted.items():
        log.info("topic created", topic=name, partitions=one["num_partitions"])


def topic_config(name: str, topics: Topics, settings: Settings) -> dict[str, str]:
    """Return the broker-side configuration of a topic.

    Timestamps are those of the log's append: the horizon for duplicates runs in arrival time.
    """
    config = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    }
    if name in topics.compacted():
        return config | {"cleanup.policy": "compact"}
    retention = int(settings.kafka_retention_days * DAY_MS)
    return config | {"cleanup.policy": "delete", "retention.ms": str(retention)}


def stamped_by_senders(bootstrap: str, names: Sequence[str]) -> list[str]:
    """Return the topics whose records carry the senders' clocks instead of the log's append."""
    with admin_client(bootstrap) as admin:
        configs = _configs(admin, names)
    return [name for name in names if configs[name]["message.timestamp.type"] != "LogAppendTime"]


def topic_ids(bootstrap: str, names: Sequence[str]) -> dict[str, str]:
    """Return the id that Kafka gave each topic: a topic made anew has another.

    Raises:
        EncoreError: a topic does not exist.
    """
    with admin_client(bootstrap) as admin:
        return {one["name"]: str(one["topic_id"]) for one in _describe(admin, names)}


def end_offsets(bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """Return the offset after the newest record of every partition."""
    with admin_client(bootstrap) as admin:
        return ends_by(admin, topics)


def ends_by(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """Return what :func:`end_offsets` does, over a connection that is open already."""
    return _offsets(admin, topics, OffsetSpec.LATEST)


def beginning_offsets(bootstrap: str, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """Return the offset of the oldest record that Kafka still has, of every partition."""
    with admin_client(bootstrap) as admin:
        return _offsets(admin, topics, OffsetSpec.EARLIEST)


def commit_group(bootstrap: str, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Record offsets under a consumer group that has no members, for lag tools to see.

    Raises:
        EncoreError: Kafka does not take them.
    """
    wanted = {
        TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
        for partition, offset in offsets.items()
    }
    with admin_client(bootstrap) as admin:
        try:
            answers = admin.alter_group_offsets(group, wanted)
        except KafkaError as error:
            raise EncoreError(
                f"Kafka does not take the offsets of group {group}: {error}"
            ) from None
    refused = {str(answer) for answer in answers.values() if answer is not NoError}
    if refused:
        raise EncoreError(f"Kafka does not take the offsets of group {group}: {sorted(refused)}")


def describe(bootstrap: str, names: Sequence[str] | None = None) -> list[TopicDescription]:
    """Describe topics, by default all that are not Kafka's own, in the order of their names."""
    with admin_client(bootstrap) as admin:
        found = _describe(admin, names) if names is not None else admin.describe_topics()
        chosen = sorted(
            (one for one in found if not one["is_internal"]), key=lambda one: str(one["name"])
        )
        topics = [str(one["name"]) for one in chosen]
        configs = _configs(admin, topics)
        beginning = _sum_by_topic(_offsets(admin, topics, OffsetSpec.EARLIEST))
        end = _sum_by_topic(_offsets(admin, topics, OffsetSpec.LATEST))
    return [
        TopicDescription(
            name=str(one["name"]),
            topic_id=str(one["topic_id"]),
            partitions=len(one["partitions"]),
            cleanup_policy=configs[one["name"]]["cleanup.policy"],
            retention_ms=_retention(configs[one["name"]]),
            beginning=beginning[one["name"]],
            end=end[one["name"]],
        )
        for one in chosen
    ]


def _describe(admin: KafkaAdminClient, names: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.describe_topics(list(names)) if names else []
    lacking = [one["name"] for one in found if one["error_code"] or not one["partitions"]]
    if lacking:
        raise EncoreError(
            f"Kafka has no topic {', '.join(sorted(map(str, lacking)))}. "
            "Create it with `encore topics create`."
        )
    return found


def _offsets(
    admin: KafkaAdminClient, topics: Sequence[str], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    partitions = {
        TopicPartition(one["name"], part["partition_index"]): spec
        for one in _describe(admin, topics)
        for part in one["partitions"]
    }
    found = admin.list_partition_offsets(partitions) if partitions else {}
    return {(at.topic, at.partition): max(answer.offset, 0) for at, answer in found.items()}


def _configs(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    if not topics:
        return {}
    answer = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics], config_filter="all"
    )
    return {
        name: {key: str(one["value"]) for key, one in configs.items()}
        for name, configs in answer["topic"].items()
    }


def _retention(config: Mapping[str, str]) -> int:
    return int(config["retention.ms"]) if config["cleanup.policy"] == "delete" else -1


def _sum_by_topic(offsets: Mapping[tuple[str, int], int]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (topic, _), offset in offsets.items():
        totals[topic] = totals.get(topic, 0) + offset
    return totals
