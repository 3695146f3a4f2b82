"""What the tables must hold, recomputed in plain Python from the records that are in Kafka.

Written from docs/events.md and docs/tables.md alone: it shares no code, constant or library
with the stream, so that an error in one of the two shows as a difference.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
Table = dict[tuple[Any, ...], Row]

COMPLETE, SKIP, LIKE, PLAYLIST_ADD = 0.9, 0.3, 2.0, 3.0
AFFINITY_HALF_LIFE_S = 30 * 86_400.0
TREND_HALF_LIFE_S = 6 * 3_600.0
LATE_MS = 10 * 60_000
FUTURE_MS = 5 * 60_000
HORIZON_MS = 24 * 3_600_000
OUTCOME_WINDOW_MS = 24 * 3_600_000
OUTCOME_LATENESS_MS = 24 * 3_600_000

NEEDS = {
    "listen": ("item_id", "duration_ms", "ms_played"),
    "like": ("item_id",),
    "unlike": ("item_id",),
    "dislike": ("item_id",),
    "playlist_add": ("item_id",),
    "page_view": ("page",),
    "search": ("query",),
    "advert": (),
    "login": (),
    "logout": (),
    "subscription_change": ("level",),
    "impression": ("item_id", "position", "source"),
}
# name: type, required, least, greatest, longest
FIELDS: dict[str, tuple[str, bool, float, float, int]] = {
    "event_id": ("text", True, 0, 0, 36),
    "schema_version": ("integer", True, 1, 1_000_000, 0),
    "event_type": ("text", True, 0, 0, 512),
    "event_ts": ("integer", True, 946_684_800_000, 4_102_444_800_000, 0),
    "produced_ts": ("integer", False, 946_684_800_000, 4_102_444_800_000, 0),
    "user_id": ("text", True, 0, 0, 128),
    "item_id": ("text", False, 0, 0, 128),
    "session_id": ("text", False, 0, 0, 128),
    "duration_ms": ("integer", False, 1, 86_400_000, 0),
    "ms_played": ("integer", False, 0, 86_400_000, 0),
    "page": ("text", False, 0, 0, 512),
    "query": ("text", False, 0, 0, 512),
    "device": ("text", False, 0, 0, 128),
    "city": ("text", False, 0, 0, 128),
    "country": ("text", False, 0, 0, 128),
    "lat": ("number", False, -90, 90, 0),
    "lon": ("number", False, -180, 180, 0),
    "level": ("text", False, 0, 0, 512),
    "position": ("integer", False, 1, 10_000, 0),
    "source": ("text", False, 0, 0, 128),
    "model_run_id": ("integer", False, 1, 2**53, 0),
    "variant": ("text", False, 0, 0, 128),
}
REQUIRED_BY_SOME = (
    "item_id",
    "duration_ms",
    "ms_played",
    "page",
    "query",
    "level",
    "position",
    "source",
)
UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
ACTS = ("listen", "like", "unlike", "dislike", "playlist_add")
COUNTS = (
    "plays",
    "completes",
    "skips",
    "likes",
    "unlikes",
    "dislikes",
    "playlist_adds",
    "ms_played",
)


@dataclass(frozen=True)
class Record:
    """A record as Kafka has it. ``arrived_ms`` is the broker's time of the append."""

    partition: int
    offset: int
    arrived_ms: int
    key: bytes | None
    value: bytes | None


class BreachError(Exception):
    """The first rule that a record breaks: reason and field."""


@dataclass
class Expected:
    """The tables, each by its key, and the counts of each partition."""

    tables: dict[str, Table] = field(default_factory=lambda: defaultdict(dict))
    accepted: list[Row] = field(default_factory=list)
    places: list[Record] = field(default_factory=list)
    rejected: dict[tuple[int, int], tuple[str, str | None, bytes | None]] = field(
        default_factory=dict
    )
    accounts: dict[int, dict[str, int]] = field(default_factory=dict)


def judge(value: bytes | None, arrived_ms: int) -> Row:
    """Return the event of a value, or raise :class:`BreachError`."""
    event = _decode(value)
    for name, (kind, *_) in FIELDS.items():
        if event.get(name) is not None and not _has_type(event[name], kind):
            raise BreachError("wrong_type", name)
    for name in FIELDS:
        _check_field(name, event.get(name))
    for name in REQUIRED_BY_SOME:
        if event.get(name) is None and name in NEEDS[event["event_type"]]:
            raise BreachError("missing", name)
    if event["event_ts"] > arrived_ms + FUTURE_MS:
        raise BreachError("in_the_future", "event_ts")
    return {name: event.get(name) for name in FIELDS}


def _decode(value: bytes | None) -> Row:
    if not value:
        raise BreachError("empty", None)
    if len(value) > 262_144:
        raise BreachError("too_large", None)
    try:
        event = json.loads(value.decode("utf-8"), parse_constant=_no_json, parse_int=_whole_number)
        json.dumps(event, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except UnicodeDecodeError:
        raise BreachError("invalid_utf8", None) from None
    except (ValueError, RecursionError):
        raise BreachError("malformed_json", None) from None
    if not isinstance(event, dict):
        raise BreachError("malformed_json", None)
    return event


def _no_json(word: str) -> None:
    """Refuse NaN and Infinity, which Python would read."""
    raise ValueError(word)


def _whole_number(digits: str) -> int:
    """Read an integer; of thousands of digits, which Python refuses, one as much out of range."""
    return int(digits[:400])


def _has_type(value: object, kind: str) -> bool:
    if kind == "integer":
        return type(value) is int and -(2**63) <= value < 2**63
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return abs(value) <= sys.float_info.max
    return isinstance(value, str)  # the records of the tests hold text as text


def _check_field(name: str, value: Any) -> None:
    kind, required, least, greatest, longest = FIELDS[name]
    if value is None or (value == "" and required):
        if required:
            raise BreachError("missing", name)
        return
    if kind != "text":
        if not least <= value <= greatest:
            raise BreachError("out_of_range", name)
        return
    if len(value) > longest:
        raise BreachError("too_long", name)
    if "\x00" in value:
        raise BreachError("forbidden_character", name)
    allowed: dict[str, Callable[[], object]] = {
        "event_id": lambda: UUID.fullmatch(value),
        "event_type": lambda: value in NEEDS,
        "level": lambda: value in ("free", "paid"),
    }
    if name in allowed and not allowed[name]():
        raise BreachError("not_allowed", name)


def expect(records: Iterable[Record]) -> Expected:
    """Recompute every feature table from the records of the events topic."""
    found = Expected()
    seen: dict[str, int] = {}
    for record in sorted(records, key=lambda one: (one.partition, one.offset)):
        account = found.accounts.setdefault(
            record.partition, {"accepted": 0, "late": 0, "duplicate": 0, "rejected": 0}
        )
        try:
            event = judge(record.value, record.arrived_ms)
        except BreachError as breach:
            reason, name = breach.args
            found.rejected[record.partition, record.offset] = (reason, name, record.value)
            account["rejected"] += 1
            continue
        mark = event["event_id"].lower()
        if mark in seen and record.arrived_ms - seen[mark] <= HORIZON_MS:
            account["duplicate"] += 1
            continue
        seen[mark] = record.arrived_ms
        account["accepted"] += 1
        account["late"] += record.arrived_ms - event["event_ts"] >= LATE_MS
        found.accepted.append(event)
        found.places.append(record)
    _add_up(found)
    return found


def _add_up(found: Expected) -> None:
    for event in found.accepted:
        add_event(found.tables, event)
    _add_outcomes(found)
    signals = _signals(found.accepted)
    for name, half_life, at in (
        ("user_item_affinity", AFFINITY_HALF_LIFE_S, "last_at"),
        ("item_trends", TREND_HALF_LIFE_S, "as_of"),
    ):
        for key, parts in signals[name].items():
            newest = max(moment for _, moment in parts)
            row = found.tables[name].setdefault(key, {})
            row["score" if name == "item_trends" else "signal"] = sum(
                weight * 2.0 ** (-(newest - moment).total_seconds() / half_life)
                for weight, moment in parts
            )
            row[at] = newest


@dataclass
class Impression:
    """An item that was shown, the row it counts in, and what is credited to it by now."""

    shown_ms: int
    offset: int
    arrived_ms: int
    row: Row
    credited: set[str] = field(default_factory=set)


def _add_outcomes(found: Expected) -> None:
    """Go through each partition in its order, as the definition of recommendation_outcomes does."""
    shown: dict[tuple[int, str, str], list[Impression]] = defaultdict(list)
    for record, event in zip(found.places, found.accepted, strict=True):
        kind, at_ms = event["event_type"], event["event_ts"]
        if kind not in ("impression", "listen", "like"):
            continue
        mine = shown[record.partition, event["user_id"], event["item_id"]]
        if kind == "impression":
            hour = moment(at_ms - at_ms % 3_600_000)
            key = (hour, event["model_run_id"] or 0, event["variant"] or "", event["source"],
                   event["position"])  # fmt: skip
            nothing = {"plays": 0, "completes": 0, "skips": 0, "likes": 0}
            row = add(found.tables["recommendation_outcomes"], key, {"impressions": 1, **nothing})
            mine.append(Impression(at_ms, record.offset, record.arrived_ms, row))
            continue
        kept_ms = OUTCOME_WINDOW_MS + OUTCOME_LATENESS_MS
        could = [
            one
            for one in mine
            if at_ms - OUTCOME_WINDOW_MS < one.shown_ms <= at_ms
            and record.arrived_ms - one.arrived_ms <= kept_ms
        ]
        if not could:
            continue
        newest = max(could, key=lambda one: (one.shown_ms, one.offset))
        if kind not in newest.credited:
            newest.credited.add(kind)
            counts = counts_of(event)
            for name in ("plays", "completes", "skips", "likes"):
                newest.row[name] += counts[name]


def _signals(events: Iterable[Row]) -> dict[str, dict[tuple[Any, ...], list[Any]]]:
    parts: dict[str, dict[tuple[Any, ...], list[Any]]] = {
        "user_item_affinity": defaultdict(list),
        "item_trends": defaultdict(list),
    }
    for event in events:
        if event["event_type"] not in ACTS:
            continue
        weight, at = signal(event), moment(event["event_ts"])
        parts["user_item_affinity"][event["user_id"], event["item_id"]].append((weight, at))
        if weight:
            for country in {"", event["country"] or ""}:
                parts["item_trends"][country, event["item_id"]].append((weight, at))
    return parts


def signal(event: Row) -> float:
    """Return what an event says of listener and item, in complete plays."""
    share = played_share(event)
    if event["event_type"] == "listen":
        return 0.0 if share < SKIP else share
    weights = {"like": LIKE, "unlike": -LIKE, "playlist_add": PLAYLIST_ADD}
    return weights.get(event["event_type"], 0.0)


def played_share(event: Row) -> float:
    """Return the share of the track that was played, at most 1; 0 for what is no play."""
    if event["event_type"] != "listen":
        return 0.0
    return min(1.0, float(event["ms_played"] / event["duration_ms"]))


def moment(ms: int) -> datetime:
    """Return the time of a timestamp of the contract."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def counts_of(event: Row) -> dict[str, int]:
    """Return what an event adds to the counts of listening."""
    kind, share = event["event_type"], played_share(event)
    play = kind == "listen"
    return {
        "plays": int(play),
        "completes": int(play and share >= COMPLETE),
        "skips": int(play and share < SKIP),
        "likes": int(kind == "like"),
        "unlikes": int(kind == "unlike"),
        "dislikes": int(kind == "dislike"),
        "playlist_adds": int(kind == "playlist_add"),
        "ms_played": event["ms_played"] if play else 0,
    }


def add_event(tables: dict[str, Table], event: Row) -> None:
    """Add an event to every table but its decayed signals."""
    at, user = moment(event["event_ts"]), event["user_id"]
    counts = counts_of(event)
    if event["event_type"] in ACTS:
        item = event["item_id"]
        for name, bucket in (
            ("item_counts_5m", at - timedelta(seconds=at.timestamp() % 300)),
            ("item_counts_hour", at.replace(minute=0, second=0, microsecond=0)),
            ("item_counts_day", at.replace(hour=0, minute=0, second=0, microsecond=0)),
        ):
            add(tables[name], (item, bucket.replace(microsecond=0)), counts)
        if counts["plays"]:
            five = at.replace(minute=at.minute - at.minute % 5, second=0, microsecond=0)
            tables["item_listeners"][item, five, user] = {}
        add(tables["user_item_affinity"], (user, item), counts, first_at=at)
    minute = at.replace(second=0, microsecond=0)
    given = tuple(event[name] or "" for name in ("country", "device", "level"))
    add(tables["platform_activity_minute"], (minute, event["event_type"], *given), {"events": 1})
    if event["event_type"] == "impression":
        return  # no activity of the user
    add(
        tables["user_counts_day"],
        (user, _day(at)),
        {"events": 1, **counts},
        first_at=at,
        last_at=at,
    )
    if event["session_id"] is not None:
        kept = {name: counts[name] for name in ("plays", "completes", "skips", "ms_played")}
        row = add(
            tables["session_counts"],
            (user, event["session_id"]),
            {"events": 1, **kept},
            started_at=at,
            last_event_at=at,
        )
        row.setdefault("logged_out_at", None)
        if event["event_type"] == "logout":
            row["logged_out_at"] = max(at, row["logged_out_at"] or at)
    tables["minute_users"][minute, user] = {}


def add(table: Table, key: tuple[Any, ...], counts: dict[str, int], **times: datetime) -> Row:
    """Add counts to a row; times named first or started keep the least, others the greatest."""
    row = table.setdefault(key, {})
    for name, count in counts.items():
        row[name] = row.get(name, 0) + count
    for name, at in times.items():
        pick = min if name in ("first_at", "started_at") else max
        row[name] = pick(row.get(name, at), at)
    return row


def _day(at: datetime) -> date:
    return at.date()


def read_topic(bootstrap: str, topic: str) -> Iterator[Record]:
    """Read everything that a topic holds by now."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        parts = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic))]
        ends = consumer.end_offsets(parts)
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for part, batch in consumer.poll(timeout_ms=1000, max_records=20_000).items():
                for one in batch:
                    if one.offset < ends[part]:
                        yield Record(part.partition, one.offset, one.timestamp, one.key, one.value)
    finally:
        consumer.close()
