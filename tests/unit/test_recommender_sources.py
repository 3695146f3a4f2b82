"""What the command line says of the data to compare models on."""

from pathlib import Path
from typing import Any

import pytest

from encore.errors import UsageError
from encore.settings import load_settings
from recommender.files import Columns
from recommender.sources import Asked, moment_of, parameters

FILE = Path("events.csv")
NOTHING: dict[str, Any] = {
    "data": None,
    "split_files": None,
    "columns": Columns(),
    "items": None,
    "genres": None,
    "as_of": None,
}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": FILE, "split_files": (FILE, FILE)}, "--data and --split-files: one of them"),
        ({"data": FILE, "columns": Columns(at_least=4)}, "--at-least 4 of what"),
        ({"data": FILE, "items": FILE}, "--items and --genres: both or neither"),
        ({"items": FILE, "genres": "genres"}, "--items goes with --data"),
        ({"split_files": (FILE, FILE), "as_of": "2026-05-01"}, "a published split has none"),
        ({"data": FILE, "as_of": "yesterday"}, "--as-of 'yesterday' is no time: write it like"),
    ],
)
def test_options_that_do_not_go_together_are_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Asked(**(NOTHING | given)).read(load_settings(), seed=1)


@pytest.mark.parametrize(
    "text", ["2026-05-01", "2026-05-01T00:00Z", "2026-05-01T02:00+02:00", "2026-05-01 00:00:00"]
)
def test_a_time_without_a_zone_is_utc(text: str) -> None:
    assert moment_of(text) == 1_777_593_600


def test_parameters_are_those_of_the_settings_but_for_what_is_given() -> None:
    found = parameters(load_settings(als_rank=16, als_alpha=3.0), 7, rank=64, alpha=None)
    assert (found.rank, found.alpha, found.seed) == (64, 3.0, 7)
