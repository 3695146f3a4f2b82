"""Whether less is played of what is shown than before; values by hand."""

from collections.abc import Iterator

import pytest
from psycopg2 import extensions

from database.engine import transaction
from database.migrate import upgrade
from recommender.outcomes import fallen

pytestmark = pytest.mark.services


@pytest.fixture
def cursor(database_url: str) -> Iterator[extensions.cursor]:
    upgrade(database_url)
    with transaction(database_url) as cursor:
        yield cursor


def test_a_click_through_that_fell_beyond_its_interval_is_warned_of(
    cursor: extensions.cursor,
) -> None:
    hour = "INSERT INTO recommendation_outcomes VALUES (%s, 1, '', 'personal', 1, %s, %s)"
    cursor.execute(hour, ("2026-05-01 08:00Z", 1000, 200))
    assert fallen(cursor) is None
    cursor.execute(hour, ("2026-05-01 10:00Z", 1000, 180))
    cursor.execute(hour, ("2026-05-01 11:00Z", 1000, 1))  # plays may follow
    cursor.execute(hour, ("2026-05-01 12:00Z", 10, 0))
    assert fallen(cursor) is None  # 0.18 against 0.2: by chance
    cursor.execute("UPDATE recommendation_outcomes SET plays = 140 WHERE plays = 180")
    assert fallen(cursor) == (
        "click-through fell: 0.1400 of 1000 impressions in the hour from 2026-05-01 10:00 UTC, "
        "0.2000 before (by 0.0271 at least)"
    )
