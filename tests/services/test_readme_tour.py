"""The README's tour by psql runs on the schema as it is."""

import re

import pytest

from database.engine import transaction
from database.migrate import upgrade
from encore.paths import PROJECT_ROOT

pytestmark = pytest.mark.services

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
# Each in a block of its own, to be copied, and what psql printed in the next one.
TOUR = re.findall(r"^```sql\n(.+?;)\n```\n\n```\n(.+?)\n", README, flags=re.MULTILINE | re.DOTALL)


def test_every_query_of_the_tour_runs_and_returns_the_columns_it_shows(database_url: str) -> None:
    assert len(TOUR) >= 10
    upgrade(database_url)
    for query, header in TOUR:
        with transaction(database_url) as cursor:
            cursor.execute(query)
            names = [column.name for column in cursor.description or ()]
        assert [name.strip() for name in header.split("|")] == names
