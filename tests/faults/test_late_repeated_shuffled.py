"""Events that come late, twice and out of order: everything is exact all the same."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.admin import NewTopic
from pyspark import SparkFiles

from database.engine import transaction
from encore.topics import admin_client
from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside, Message, event, message
from tests.faults.pipeline import Pipeline

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]

EVENTS = 3000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def disordered(share: float) -> list[Message]:
    """Return events of which a share is late, another comes twice, another changes its place."""
    dice = random.Random(7)
    some = round(EVENTS * share)
    late = set(dice.sample(range(EVENTS), some))
    now = int(str(event(0)["event_ts"]))
    messages = []
    for number in range(EVENTS):
        age = dice.randint(11 * MINUTE_MS, 40 * 24 * HOUR_MS) if number in late else 1000
        messages.append(message(event(number, event_ts=now - age, **of_outcomes(number))))
    places = dice.sample(range(EVENTS), some)
    for place, one in zip(places, [messages[place] for place in sorted(places)], strict=True):
        messages[place] = one
    for one in dice.sample(messages, some):
        messages.insert(dice.randint(0, len(messages)), one)
    return messages


def of_outcomes(number: int) -> dict[str, object]:
    """Return what makes an event an impression, a play or a like of one of 70 pairs, in turns."""
    shown = {"source": "personal", "position": 1 + number % 3, "model_run_id": 1 + number % 2}
    kind = ("impression", "listen", "like")[number % 3]
    return {
        "event_type": kind,
        "user_id": f"user-{number % 10}",
        "item_id": f"item-{number % 7}",
        **(shown if kind == "impression" else {}),
    }


@pytest.mark.parametrize(("share", "some"), [(0.0, 0), (0.1, 300), (0.3, 900)])
def test_late_repeated_and_shuffled_events_are_counted_exactly(
    inside: Inside, share: float, some: int
) -> None:
    assert inside.send(disordered(share)) == EVENTS + some
    inside.count_all(stream_max_offsets_per_trigger=700)
    inside.pipeline.assert_exact()
    assert inside.totals() == {"accepted": EVENTS, "duplicate": some, "rejected": 0}
    with transaction(inside.pipeline.database) as cursor:
        cursor.execute("SELECT sum(late)::bigint, sum(accepted)::bigint FROM ingest_audit")
        assert cursor.fetchall() == [(some, EVENTS)]
        cursor.execute("SELECT sum(impressions), sum(plays), sum(likes) FROM click_through")
        ((shown, played, liked),) = cursor.fetchall()
    assert shown == EVENTS / 3
    assert shown > played > EVENTS / 10
    assert shown > liked > EVENTS / 10


def test_what_came_of_impressions_stays_when_all_is_sent_and_read_again(inside: Inside) -> None:
    messages = disordered(0.1)[:600]
    for _ in range(2):
        inside.send(messages)
        inside.count_all(stream_max_offsets_per_trigger=100)
        inside.pipeline.assert_exact()
        lose_the_checkpoint(inside.pipeline)
    assert inside.totals()["duplicate"] > 600


@pytest.fixture
def stamped(inside: Inside) -> Inside:
    """Return a pipeline whose topic takes the sender's timestamps for arrivals."""
    name = f"{inside.pipeline.topics.events}-stamped.events"
    with admin_client(inside.pipeline.kafka) as admin:
        config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        admin.create_topics([NewTopic(name, 2, 1, topic_configs=config)])
        admin.wait_for_topics([name])
    topics = replace(inside.pipeline.topics, events=name)
    return Inside(inside.spark, replace(inside.pipeline, topics=topics))


def go_on(pipeline: Pipeline) -> None:
    """Count on with the next run as it is."""


def lose_the_checkpoint(pipeline: Pipeline) -> None:
    """Delete what Spark and the tasks keep on disk between runs."""
    shutil.rmtree(pipeline.folder / "checkpoints")
    shutil.rmtree(Path(SparkFiles.getRootDirectory()) / "seen")


@pytest.mark.parametrize("between", [go_on, lose_the_checkpoint])
def test_a_repeat_within_the_horizon_is_dropped_and_one_beyond_it_counts(
    stamped: Inside, between: Callable[[Pipeline], None]
) -> None:
    first = int(str(event(0)["event_ts"])) - 50 * HOUR_MS
    horizon = 24 * HOUR_MS
    # When an event comes again after the first time, and whether that counts.
    comes = {
        1: (horizon - MINUTE_MS, False),
        2: (horizon + MINUTE_MS, True),
        3: (horizon, False),
        4: (horizon + 1, True),
        5: (1, False),
    }
    once = {number: event(number, event_ts=first - 1000, user_id="u") for number in comes}
    stamped.send(message(one, at_ms=first) for one in once.values())
    stamped.count_all()
    assert stamped.totals()["accepted"] == len(comes)
    between(stamped.pipeline)
    for number in sorted(comes, key=lambda one: comes[one][0]):
        stamped.send([message(once[number], at_ms=first + comes[number][0])])
    stamped.count_all(stream_max_offsets_per_trigger=2)
    stamped.pipeline.assert_exact()
    counted = sum(counts for _, counts in comes.values())
    assert stamped.totals() == {
        "accepted": len(comes) + counted, "duplicate": len(comes) - counted, "rejected": 0
    }  # fmt: skip


def test_the_horizon_runs_from_the_last_time_that_counted(stamped: Inside) -> None:
    first = int(str(event(0)["event_ts"])) - 80 * HOUR_MS
    again = event(1, event_ts=first - 1000)
    # Counted, dropped, counted (25 h after the first), dropped (24 h after that one), counted.
    for hours in (0, 23, 25, 49, 50):
        stamped.send([message(again, at_ms=first + hours * HOUR_MS)])
        stamped.count_all()
    stamped.pipeline.assert_exact()
    assert stamped.totals() == {"accepted": 3, "duplicate": 2, "rejected": 0}
