"""Where the data to compare models on come from, as the command line says it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from encore.errors import UsageError
from encore.settings import Settings
from encore.stack.endpoints import database_url
from recommender.als import AlsParameters
from recommender.domain import read_domain
from recommender.files import Columns, Published, read_events, read_genres, read_split
from recommender.interactions import Split
from recommender.job import als_parameters


class Source(Protocol):
    """Data that were read once, and can be divided in several ways."""

    def split(self, half_life_days: float | None = None) -> Split:
        """Divide into what is learned from and what is tested on."""

    def before(self) -> "Source":
        """Return what is learned from, to be divided in its turn."""


@dataclass(frozen=True)
class Asked:
    """What the command line says of the data; without a file they are the domain's own."""

    data: Path | None
    split_files: tuple[Path, Path] | None
    columns: Columns
    items: Path | None
    genres: str | None
    as_of: str | None

    def read(self, settings: Settings, seed: int) -> Source:
        """Read the data.

        Raises:
            UsageError: options that do not go together, or a file that cannot be read.
            EncoreError: the database holds nothing to learn from.
        """
        self._check()
        share = settings.train_test_share
        if self.split_files:
            return Published(read_split(*self.split_files), share, seed)
        moment = None if self.as_of is None else moment_of(self.as_of)
        if self.data:
            genres = None
            if self.items and self.genres:
                genres = read_genres(self.items, self.columns.item, self.genres)
            events = read_events(self.data, self.columns, share, genres)
            return events if moment is None else events.as_of(moment)
        domain = read_domain(database_url(), settings)
        return domain if moment is None else domain.as_of(moment)

    def _check(self) -> None:
        if self.data and self.split_files:
            raise UsageError("--data and --split-files: one of them")
        if self.columns.at_least is not None and self.columns.weight is None:
            raise UsageError(
                f"--at-least {self.columns.at_least:g} of what? Name the column with --weight"
            )
        if (self.items is None) != (self.genres is None):
            raise UsageError("--items and --genres: both or neither")
        if self.items and not self.data:
            raise UsageError("--items goes with --data; the domain knows its own genres")
        if self.split_files and self.as_of:
            raise UsageError("--as-of needs times, and a published split has none")


def parameters(settings: Settings, seed: int, **given: float | None) -> AlsParameters:
    """Return the parameters of the settings, but for those that were given."""
    kept: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(als_parameters(settings, seed), **kept)


def moment_of(text: str) -> float:
    """Return seconds since 1970 of an ISO time; without a zone it is UTC.

    Raises:
        UsageError: the text is no such time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--as-of {text!r} is no time: write it like 2026-05-01 or 2026-05-01T12:00+02:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
