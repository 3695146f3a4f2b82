"""The dashboard as a person uses it: every view, a like that changes a list, PostgreSQL away."""

import re
from typing import Final, Literal

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from serving.keys import Role
from tests.browser.chromium import needs_chromium
from tests.browser.conftest import BROKEN, EVENTS, REPEATED, WIDE, Stack, Watched, enter
from tests.live import execute

pytestmark = [pytest.mark.browser, pytest.mark.services, needs_chromium]

VIEWS = ("Now", "Music", "Listener", "Models", "Data")
HOPS = ["produced", "acknowledged", "read and committed", "folded in", "served", "shown here"]
LOOKS: Final[tuple[tuple[Literal["light", "dark"], ViewportSize], ...]] = (
    ("light", WIDE),
    ("dark", ViewportSize(width=360, height=740)),
)


def tile(page: Page, name: str) -> Locator:
    return page.locator(f'[data-now="{name}"]')


def listed(page: Page) -> list[str]:
    """Return the items of the list on the page, best first."""
    entries = page.locator("#recommended > li[data-item]")
    return [one.get_attribute("data-item") or "" for one in entries.all()]


def test_without_a_key_the_page_asks_for_one_and_says_when_it_is_refused(
    page: Page, stack: Stack, watched: Watched
) -> None:
    watched.forgiven = ("401",)
    page.goto("/")
    expect(page.get_by_role("heading", name="A key, please")).to_be_visible()
    page.get_by_label("Key of the API").fill("encore_00000000_" + "0" * 64)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("heading", name="The key was refused")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("unknown or revoked")
    page.get_by_label("Key of the API").fill(stack.api.keys[Role.READ])
    page.keyboard.press("Enter")
    expect(page.locator("#view-now h1")).to_have_text("Now")
    page.reload()  # the tab remembers it
    expect(page.locator("#view-now h1")).to_have_text("Now")
    assert "encore_" not in page.url


def test_every_view_loads_on_a_phone_too_by_the_keyboard_in_light_and_dark(
    page: Page, stack: Stack
) -> None:
    enter(page, stack)
    for scheme, size in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        for name in VIEWS:
            link = page.get_by_role("navigation", name="Views").get_by_role("link", name=name)
            link.focus()
            page.keyboard.press("Enter")
            expect(page.locator(f"#view-{name.lower()} h1")).to_have_text(name)
            expect(link).to_have_attribute("aria-current", "page")
            too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not too_wide, (name, scheme)


def test_now_says_what_the_database_says(page: Page, stack: Stack) -> None:
    enter(page, stack)
    expect(tile(page, "lag")).to_have_text("0")  # nothing is under way any more
    ((accepted, rejected, duplicate),) = execute(
        stack.database,
        "SELECT sum(accepted)::int, sum(rejected)::int, sum(duplicate)::int FROM stream_offsets "
        "WHERE topic = %s",
        stack.topics.events,
    )
    assert accepted >= EVENTS
    assert (rejected, duplicate) >= (BROKEN, REPEATED)
    expect(tile(page, "accepted")).to_have_text(f"{accepted:,}")
    expect(tile(page, "rejected")).to_have_text(f"{rejected:,}")
    countries = page.get_by_role("table", name="Country").locator("tbody tr")
    expect(countries.first).to_contain_text("Sweden")
    ((sweden,),) = execute(
        stack.database,
        "SELECT sum(events)::int FROM platform_activity_minute WHERE country = 'SE' "
        "AND minute > now() - interval '15 minutes'",
    )
    expect(countries.first.locator(".value")).to_contain_text(str(sweden))
    ((newest,),) = execute(
        stack.database, "SELECT max(batch) FROM ingest_audit WHERE topic = %s", stack.topics.events
    )
    rows = page.get_by_role("table", name="Newest batches").locator("tbody tr")
    expect(rows.first.locator("td").first).to_have_text(str(newest))
    expect(page.locator(".uplot").first).to_be_visible()


def test_a_listener_is_found_by_name_and_a_like_changes_their_list_hop_by_hop(
    page: Page, stack: Stack
) -> None:
    enter(page, stack, "listener", Role.WRITE)
    page.get_by_role("searchbox", name="Find a listener").fill("ada")
    page.get_by_role("link", name="Ada Sten").click()
    expect(page.locator("#recommended > li").first).to_be_visible()
    wanted = [
        row[0]
        for row in execute(
            stack.database, "SELECT item_id FROM recommendations_for('ada', 10) ORDER BY rank"
        )
    ]
    assert listed(page) == wanted
    assert wanted[:2] == ["t4", "t6"]  # Folk, as most of what she heard long ago
    page.get_by_role("button", name="Like Winter Seasons").click()  # t3: Jazz, as t5 is
    expect(page.locator(".acts button:enabled")).to_have_count(0)  # one at a time is followed
    said = page.locator("#act-said")
    expect(said).to_contain_text("the list followed", timeout=30_000)
    expect(said).to_contain_text("moved")
    assert [one.get_attribute("data-hop") for one in page.locator("[data-hop]").all()] == HOPS
    seconds = [
        float(one.inner_text().split()[0]) for one in page.locator("[data-hop] .value").all()
    ]
    assert seconds[:5] == sorted(seconds[:5])
    assert listed(page)[0] == "t5"
    assert "t3" not in listed(page)
    expect(page.locator("#plays tbody tr").first).to_contain_text("Winter Seasons")
    expect(page.locator("#plays tbody tr").first).to_contain_text("liked")
    ((likes,),) = execute(
        stack.database,
        "SELECT likes FROM user_item_affinity WHERE user_id = 'ada' AND item_id = 't3'",
    )
    assert likes == 1


def test_a_list_that_an_act_leaves_as_it_was_is_said_to_be_the_same(
    page: Page, stack: Stack
) -> None:
    enter(page, stack, "listener/ada", Role.WRITE)
    expect(page.locator("#recommended > li").first).to_be_visible()
    before = listed(page)
    page.get_by_role("searchbox", name="Track").fill("crimson candles")
    page.get_by_role("group", name="Crimson Candles").get_by_role("button", name="Play").click()
    expect(page.locator("#act-said")).to_contain_text("the list is the same", timeout=30_000)
    assert listed(page) == before  # she has played it before: it is what her list follows from
    at = page.locator("#plays tbody tr").filter(has_text="Crimson Candles").locator("time")
    expect(at).to_contain_text("s ago")
    shown = at.inner_text()
    expect(at).not_to_have_text(shown)  # it goes on counting, although nothing is read anew


def test_enter_opens_the_listener_whose_id_was_typed(page: Page, stack: Stack) -> None:
    enter(page, stack, "listener", Role.READ)
    page.get_by_role("searchbox", name="Find a listener").fill("listener-3")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#/listener/listener-3$"))
    expect(page.locator("#plays tbody tr").first).to_be_visible()


def test_what_happens_elsewhere_arrives_on_the_page_by_itself(page: Page, stack: Stack) -> None:
    enter(page, stack, "listener/ada", Role.READ)
    expect(page.locator("#plays tbody tr").first).to_be_visible()
    expect(page.get_by_role("button", name="Like").first).to_be_disabled()
    expect(page.get_by_text("This takes a key that may write")).to_be_visible()
    told = stack.api.client.put("/api/v1/preference/ada/t7", headers=stack.api.headers(Role.WRITE))
    assert told.status_code == 202
    expect(page.locator("#plays tbody tr").first).to_contain_text("Quiet_Rooms", timeout=30_000)


def test_postgresql_away_is_said_and_the_page_goes_on_by_itself_when_it_is_back(
    page: Page, stack: Stack, watched: Watched
) -> None:
    watched.forgiven = ("503",)
    enter(page, stack)
    expect(tile(page, "accepted")).not_to_have_text("–")
    stack.door.shut()
    try:
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("PostgreSQL", timeout=30_000)
        expect(banner.get_by_role("button", name="Retry")).to_be_visible()
        expect(tile(page, "accepted")).to_be_visible()  # what was known stays
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("PostgreSQL", timeout=30_000)
    finally:
        stack.door.open()
    expect(page.get_by_role("alert")).to_be_hidden(timeout=30_000)
    expect(tile(page, "accepted")).not_to_have_text("–")
