"""The demo stops and wipes only what is its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.services import Services
from encore.errors import EncoreError
from encore.settings import settings


@pytest.fixture
def external_kafka() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
        settings.cache_clear()
        yield
    settings.cache_clear()


def test_services_of_somebody_else_are_never_wiped(tmp_path: Path, external_kafka: None) -> None:
    with pytest.raises(EncoreError, match="not what KAFKA_BOOTSTRAP_SERVERS names"):
        Services(tmp_path).refuse_external()


def test_the_local_stack_may_be_wiped(tmp_path: Path) -> None:
    Services(tmp_path).refuse_external()


def test_a_record_of_servers_is_gone_once_they_are_stopped(tmp_path: Path) -> None:
    record = tmp_path / "demo-services.json"
    record.write_text(json.dumps(["kafka"]))
    Services(tmp_path).down()
    assert not record.exists()
