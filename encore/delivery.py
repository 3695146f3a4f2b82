"""Kafka producers as every part opens them: idempotent, acknowledged by all replicas."""

from typing import Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from encore.errors import ServiceUnavailableError

_END_SECONDS: Final = 5.0


def idempotent_producer(
    bootstrap: str,
    *,
    client_id: str,
    delivery_seconds: float,
    linger_ms: int,
    max_request_bytes: int,
    **more: int,
) -> KafkaProducer:
    """Return a producer that never reorders nor repeats within its session.

    A record that is not acknowledged within ``delivery_seconds`` is given up. ``more`` are
    settings of kafka-python.

    Raises:
        ServiceUnavailableError: the brokers do not answer.
    """
    timeout_ms = round(delivery_seconds * 1000)
    try:
        return KafkaProducer(
            bootstrap_servers=bootstrap.split(","),
            client_id=client_id,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            linger_ms=linger_ms,
            max_request_size=max_request_bytes,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=min(30_000, max(1_000, timeout_ms // 2)),
            max_block_ms=timeout_ms,
            reconnect_backoff_max_ms=1_000,
            **more,
        )
    except (KafkaError, OSError) as error:
        raise ServiceUnavailableError(
            f"Kafka does not answer at {bootstrap}: {error}. Start it with `encore up kafka`."
        ) from None


def abandon(producer: KafkaProducer) -> None:
    """End a producer now: what it still holds is not sent any more."""
    # To close it without time is not enough: it fails at what it still holds, and sends on.
    sender = producer._sender
    sender.force_close()
    sender.join(_END_SECONDS)
    producer.close(timeout=0)
