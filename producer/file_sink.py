"""Into a file instead of Kafka: one JSON object a record, to look at and to compare."""

import base64
from collections.abc import Callable
from pathlib import Path

import orjson

from encore.events import Topics
from producer.records import RecordBlock, topic_names
from producer.tally import Tally


class FileSink:
    """Writes topic, key and value of each record as a line; bytes that are no UTF-8 as base64."""

    def __init__(self, path: Path, topics: Topics) -> None:
        self.tally = Tally()
        self._file = path.open("wb")
        self._names = topic_names(topics)

    def send(self, block: RecordBlock) -> None:
        """Write the records."""
        rows = zip(block.kinds.tolist(), block.keys, block.values, strict=True)
        lines = [_line(self._names[kind], key, value) for kind, key, value in rows]
        self._file.write(b"".join(lines))
        counts = block.counts()
        self.tally.sent.update(counts)
        self.tally.acknowledged.update(counts)

    def poll(self) -> None:
        """Do nothing: what is written is acknowledged."""

    def close(self, abandoned: Callable[[], bool]) -> None:
        """Close the file."""
        del abandoned
        self._file.close()


def _line(topic: str, key: bytes | None, value: bytes) -> bytes:
    record: dict[str, str | None] = {"topic": topic, "key": key.decode() if key else None}
    try:
        record["value"] = value.decode()
    except UnicodeDecodeError:
        record["value_base64"] = base64.b64encode(value).decode()
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
