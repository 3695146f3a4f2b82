"""Music, models and data on the page: the database's numbers, and what administrators do."""

import json
import time
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from database.engine import transaction
from recommender.artifact import save
from serving.experiments import make, parse, stop
from serving.keys import Role
from tests.api import FACTORS
from tests.browser.conftest import BROKEN, Stack, enter
from tests.live import execute, wait_until
from tests.models import model_of

pytestmark = [pytest.mark.browser, pytest.mark.services]


def rows(page: Page, caption: str) -> Locator:
    """Return the rows of a table."""
    return page.get_by_role("table", name=caption, exact=True).locator("tbody tr")


def cells(row: Locator) -> list[str]:
    """Return the texts of a row, the second lines of cells left out."""
    return [one.split("\n")[0].strip() for one in row.locator("td").all_inner_texts()]


def test_the_charts_and_open_sessions_are_the_database_s(page: Page, stack: Stack) -> None:
    enter(page, stack, "music", Role.READ)
    charts = rows(page, "Most played in the last hour, against the hour before")
    expect(charts.first).to_be_visible()
    wanted = execute(
        stack.database,
        "SELECT i.title, sum(c.plays)::int FROM item_counts_5m AS c JOIN items AS i USING (item_id)"
        " WHERE c.bucket_start > now() - interval '58 minutes' AND c.plays > 0"
        " GROUP BY c.item_id, i.title ORDER BY 2 DESC, c.item_id",
    )
    shown = [cells(one) for one in charts.all()]
    assert [(title, int(plays)) for _, _, title, plays, _ in shown] == wanted
    assert {moved for _, moved, *_ in shown} == {"new"}  # nothing was played before
    ((open_sessions,),) = execute(stack.database, "SELECT count(*)::int FROM sessions WHERE open")
    expect(page.locator("#open-sessions")).to_have_text(f"{open_sessions} open")
    listener = rows(page, "Sessions open now").filter(has_text="listener-5")
    expect(listener.locator("td").nth(3)).to_have_text("10")  # of 60 plays of six listeners
    page.get_by_label("Find a track").fill("crimson candels")
    page.keyboard.press("Enter")
    expect(rows(page, "Tracks found")).to_have_count(1)


def test_a_track_is_shown_with_its_curve_and_what_is_like_it(page: Page, stack: Stack) -> None:
    enter(page, stack, "music", Role.READ)
    link = page.get_by_role("link", name="Crimson Candles").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Crimson Candles")).to_be_visible()
    ((plays,),) = execute(
        stack.database, "SELECT sum(plays)::int FROM item_counts_hour WHERE item_id = 't1'"
    )
    expect(page.get_by_text(f"{plays} plays in this time")).to_be_visible()
    alike = rows(page, "Similar tracks")
    expect(alike).to_have_count(2)
    assert [cells(one)[:3] for one in alike.all()] == [
        ["Winter Seasons", "factors", "0.90"],
        ["Silver Promises", "text", "0.50"],
    ]
    page.get_by_role("button", name="5 minutes").click()
    expect(page.get_by_text(f"{plays} plays in this time")).to_be_visible()
    expect(page.locator(".uplot")).to_be_visible()


@pytest.fixture
def older_run(stack: Stack) -> Iterator[int]:
    """Put a run there that readers can be shown again; leave them with the one that they saw."""
    with transaction(stack.database) as cursor:
        cursor.execute(
            "INSERT INTO model_runs (algorithm, status, parameters, published_at, data_to)"
            " VALUES ('als', 'superseded', '{}', '2026-05-01 11:00+00', '2026-05-01 10:00+00')"
            " RETURNING model_run_id"
        )
        ((run,),) = cursor.fetchall()
        save(cursor, run, model_of(FACTORS, alpha=1.0, regularization=1.0, now_s=1.7776368e9))
    yield run
    execute(stack.database, "UPDATE published_run SET model_run_id = 1")
    execute(stack.database, "UPDATE model_runs SET status = 'published' WHERE model_run_id = 1")
    execute(stack.database, "DELETE FROM model_runs WHERE model_run_id = %s", run)


def published(stack: Stack) -> int:
    ((run,),) = execute(stack.database, "SELECT model_run_id FROM published_run")
    return int(run)


def test_an_administrator_rolls_back_after_being_asked(
    page: Page, stack: Stack, older_run: int
) -> None:
    enter(page, stack, "models")
    champion = page.locator(".tile").filter(has_text="Champion")
    expect(champion).to_contain_text("run 1")
    expect(page.locator(".tile").filter(has_text="Artists in a list")).to_contain_text("2.0")
    back = page.get_by_role("button", name=f"Roll back to {older_run}")
    back.click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text(f"Show readers run {older_run} again?")
    page.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    assert published(stack) == 1
    back.click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_have_text(
        f"Readers see run {older_run} now. Before it was run 1."
    )
    expect(champion).to_contain_text(f"run {older_run}")
    assert published(stack) == older_run
    expect(page.get_by_role("button", name="Roll back to 1")).to_be_visible()


def test_without_an_administrator_s_key_nothing_is_rolled_back_and_it_says_why(
    page: Page, stack: Stack, older_run: int
) -> None:
    enter(page, stack, "models", Role.WRITE)
    page.get_by_role("button", name=f"Roll back to {older_run}").click()
    expect(page.get_by_role("status")).to_contain_text("takes a key with the role admin")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert published(stack) == 1


@pytest.fixture
def tried(stack: Stack) -> Iterator[str]:
    """Put an experiment there that has ended, as in Newcombe's paper: 56 of 70 against 48 of 80."""
    with transaction(stack.database) as cursor:
        make(cursor, "caps", parse("caps", ["control", "few:max_per_artist=1"]))
        stop(cursor, "caps")
        for variant, shown, played in (("control", 80, 48), ("few", 70, 56)):
            cursor.execute(
                "INSERT INTO recommendation_outcomes"
                " VALUES ('2026-05-01 12:00Z', 1, %s, 'personal', 1, %s, %s)",
                (f"caps:{variant}", shown, played),
            )
    yield "caps"
    for table in ("recommendation_outcomes", "experiment_variants", "experiments"):
        execute(stack.database, f"DELETE FROM {table}")


def test_what_came_of_an_experiment_is_told_with_intervals(
    page: Page, stack: Stack, tried: str
) -> None:
    enter(page, stack, "models", Role.READ)
    variants = rows(page, f"What came of {tried}")
    expect(variants).to_have_count(2)
    control, few = variants.all()
    expect(control).to_contain_text("50 % of listeners; as to everybody")
    expect(few).to_contain_text("50 % of listeners; 1 an artist at most")
    assert cells(control)[1:4] == ["80", "48", "60.0 %"]
    assert cells(few)[1:4] == ["70", "56", "80.0 %"]
    expect(few).to_contain_text("better")
    expect(few).to_contain_text("+20.0 points (+5.2 to +33.4)")


def test_the_books_and_tables_are_the_database_s(page: Page, stack: Stack) -> None:
    enter(page, stack, "data", Role.READ)
    expect(page.locator("#closes")).to_contain_text("adds up")
    topic = rows(page, "What became of the records of each topic").filter(
        has_text=stack.topics.events
    )
    ((read, *counts),) = execute(
        stack.database,
        "SELECT sum(next_offset - first_offset - gaps)::int, sum(accepted)::int, sum(late)::int,"
        " sum(duplicate)::int, sum(rejected)::int FROM stream_offsets WHERE topic = %s",
        stack.topics.events,
    )
    assert read == counts[0] + counts[2] + counts[3]
    expect(topic.locator("td").nth(1)).to_have_text(str(read))
    assert [int(one) for one in cells(topic)[1:6]] == [read, *counts]
    page.locator("#tables summary").click()
    ((index_bytes,),) = execute(stack.database, "SELECT pg_indexes_size('items')::int")
    items = rows(page, "Tables by size").filter(has=page.get_by_text("items", exact=True))
    expect(items.locator("td").nth(3)).to_have_text(f"{index_bytes / 1000:.1f} kB")


@pytest.fixture
def gold(stack: Stack) -> Iterator[str]:
    """Put two rejected likes of one listener there, each wrong in its level alone; return who."""
    user = f"gold-{uuid.uuid4().hex[:6]}"
    for number, item in enumerate(("t1", "t2")):
        event = {
            "event_id": str(uuid.uuid4()),
            "schema_version": 1,
            "event_type": "like",
            "event_ts": time.time_ns() // 1_000_000,
            "user_id": user,
            "item_id": item,
            "level": "gold\u202e",
        }
        execute(
            stack.database,
            'INSERT INTO rejected_events (topic, topic_id, partition, "offset", reason, field, key,'
            " raw, arrived_at) VALUES (%s, %s, 0, %s, 'not_allowed', 'level', %s, %s, now())",
            stack.topics.events,
            user,
            1_000_000 + number,
            user.encode(),
            json.dumps(event, ensure_ascii=False).encode(),
        )
    yield user
    execute(stack.database, "DELETE FROM rejected_events WHERE topic_id = %s", user)


def test_rejected_records_are_mended_and_sent_again_by_an_administrator(
    page: Page, stack: Stack, gold: str
) -> None:
    enter(page, stack, "data")
    reasons = rows(page, "Why records were rejected")
    broken = reasons.filter(has_text="malformed_json")
    expect(broken.locator("td").nth(1)).to_have_text(str(BROKEN))
    level = reasons.filter(has_text="not_allowed")
    expect(level.locator("td").nth(1)).to_have_text("2")
    level.get_by_role("button", name="Show").click()
    records = rows(page, "Rejected records")
    expect(records).to_have_count(2)
    expect(records.first).to_contain_text(
        "gold\\u202e"
    )  # what would turn the line round is escaped
    level.get_by_role("button", name="Send again").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("2 records would go to Kafka")
    asked.get_by_label("Set level first").fill('"free"')
    asked.get_by_role("button", name="Send").click()
    said = page.locator("#rejected").get_by_role("status")
    expect(said).to_have_text("2 records sent again.")
    wait_until(lambda: likes(stack, gold) == 2, "the stream has counted what was sent again")
    expect(records).to_have_count(0)
    page.get_by_label("with those sent again").check()
    expect(records).to_have_count(2)
    expect(records.first).to_contain_text("sent again to")


def likes(stack: Stack, user: str) -> int:
    ((found,),) = execute(
        stack.database,
        "SELECT coalesce(sum(likes), 0)::int FROM user_item_affinity WHERE user_id = %s",
        user,
    )
    return int(found)


def test_without_an_administrator_s_key_nothing_is_sent_again(
    page: Page, stack: Stack, gold: str
) -> None:
    enter(page, stack, "data", Role.READ)
    record = rows(page, "Rejected records").filter(has_text=f"{stack.topics.events}/0/1000001")
    record.get_by_role("button", name="Send again").click()
    expect(page.locator("#rejected").get_by_role("status")).to_contain_text(
        "takes a key with the role admin"
    )
    assert likes(stack, gold) == 0
