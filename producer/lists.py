"""What listeners are recommended, as arrays, kept up to date beside production.

Read from PostgreSQL as anybody could: the lists of ``encore live``, else of the published run, or
what an experiment shows to a listener; for who has none what is popular.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import orjson
import psycopg2

from encore.log import get_logger
from producer.arrays import Ints

log = get_logger("producer")

SHOWN: Final = 10
_EVERY_SECONDS: Final = 5.0
_APPLICATION_NAME: Final = "encore produce"
_LISTS: Final = """
WITH shown AS MATERIALIZED (
  SELECT user_id, variant, model_run_id, item_ids, sources FROM lists_shown(%(shown)s)
)
SELECT * FROM shown
 UNION ALL
SELECT u.user_id, v.experiment || ':' || v.variant, NULL, '{}', '{}'
  FROM experiment_variants AS v
  JOIN experiments AS e ON e.name = v.experiment AND e.stopped_at IS NULL
  JOIN users AS u
    ON experiment_bucket(v.experiment, u.user_id) BETWEEN v.bucket_from AND v.bucket_to - 1
 WHERE NOT EXISTS (SELECT FROM shown AS s WHERE s.user_id = u.user_id)
 UNION ALL
SELECT '', NULL, NULL, array_agg(f.item_id ORDER BY f.rank), array_agg(f.source ORDER BY f.rank)
  FROM recommendations_for('', %(shown)s) AS f
"""
_OF_A_MODEL: Final = frozenset({"personal", "explore"})

Row = tuple[str, str | None, int | None, Sequence[str] | None, Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists of a moment: ``tracks`` and ``notes`` have a row a list and ``SHOWN`` columns.

    ``tracks`` are indices, -1 where a list is shorter; ``notes`` number what an impression says
    of its place (see :class:`Notes`). ``row_of`` has the row of each listener who has a list;
    row 0 is everybody else's.
    """

    tracks: Ints
    notes: Ints
    row_of: Ints

    def rows(self, listeners: Ints) -> Ints:
        """Return the row of each listener."""
        known = listeners < len(self.row_of)
        return np.where(known, self.row_of[np.where(known, listeners, 0)], 0)


@dataclass(slots=True)
class Notes:
    """What impressions say beside the item, numbered: the end of their JSON, encoded once."""

    texts: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, position: int, source: str, run: int | None, variant: str | None) -> int:
        """Return the number of a place in a list."""
        said: dict[str, object] = {"position": position, "source": source}
        if run is not None and source in _OF_A_MODEL:
            said["model_run_id"] = run
        if variant:
            said["variant"] = variant
        text = f",{orjson.dumps(said).decode()[1:-1]}"
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


class ListsReader:
    """Reads the lists again and again in a thread; production takes what is there."""

    def __init__(self, url: str) -> None:
        """Take where the lists are; nothing is read yet."""
        self._url = url
        self._ended = threading.Event()
        self._told = ""
        self.notes = Notes()
        self.lists: Lists | None = None

    @contextmanager
    def reading(self) -> Iterator["ListsReader"]:
        """Read until the end of the block."""
        thread = threading.Thread(target=self._run, name="lists", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(_EVERY_SECONDS)

    def read(self) -> None:
        """Read the lists as they are now.

        Raises:
            psycopg2.Error: they cannot be read.
        """
        with closing(psycopg2.connect(self._url, application_name=_APPLICATION_NAME)) as session:
            session.set_session(readonly=True, autocommit=True)
            with session.cursor() as cursor:
                cursor.execute("SET statement_timeout = '30s'")
                cursor.execute(_LISTS, {"shown": SHOWN})
                self.lists = lists_of(cursor.fetchall(), self.notes)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.read()
                self._told = ""
            except psycopg2.Error as error:
                # The last lists serve on; there are none before the first migration.
                if type(error).__name__ != self._told:
                    log.warning("recommendations cannot be read", because=str(error).strip())
                    self._told = type(error).__name__
            self._ended.wait(_EVERY_SECONDS)


def lists_of(rows: Iterable[Row], notes: Notes) -> Lists:
    """Return rows of user, variant, run, items and sources as arrays.

    The user '' stands for the others, and for those whose list is empty.
    """
    found = {
        who: (variant, run, items or (), sources or ())
        for who, variant, run, items, sources in rows
    }
    others = found.pop("", (None, None, (), ()))
    for who, (variant, _, items, _) in found.items():
        if not items:
            found[who] = (variant, *others[1:])
    listeners = {number: rest for who, rest in found.items() if (number := _number("u", who)) >= 0}
    row_of = np.zeros(max(listeners, default=0) + 1, dtype=np.int64)
    row_of[list(listeners)] = np.arange(1, len(listeners) + 1)
    tracks = np.full((len(listeners) + 1, SHOWN), -1, dtype=np.int64)
    numbers = np.full_like(tracks, -1)
    for row, (variant, run, items, sources) in enumerate([others, *listeners.values()]):
        for place, (item, source) in enumerate(zip(items, sources, strict=True)):
            tracks[row, place] = _number("t", item)
            numbers[row, place] = notes.number(place + 1, source, run, variant)
    return Lists(tracks, numbers, row_of)


def _number(letter: str, text: str) -> int:
    """Return the index that an id of the producer's own stands for, or -1."""
    digits = text[1:]
    own = text[:1] == letter and digits.isascii() and digits.isdigit() and len(digits) < 10
    return int(digits) - 1 if own else -1
