"""What makes lists for a worker, and the table that they go into."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from psycopg2 import extensions
from psycopg2.extras import execute_values

NO_RUN = 0  # of lists made while no model was published; no run has this number


@dataclass(frozen=True, slots=True)
class MadeList:
    """A user's list, best first: four sequences of one length."""

    user_id: str
    item_ids: Sequence[str]
    scores: Sequence[float]
    sources: Sequence[str]
    reasons: Sequence[str]


class ListMaker(Protocol):
    """A published model and all that making lists by it needs."""

    @property
    def model_run_id(self) -> int:
        """Return the run that the model comes from."""

    def lists(
        self, cursor: extensions.cursor, user_ids: Sequence[str], n: int
    ) -> Iterator[MadeList]:
        """Yield lists of up to ``n`` items from what the database holds of users as of now.

        A user of whom nothing positive is known is left out.
        """


def write(cursor: extensions.cursor, model_run_id: int, lists: Sequence[MadeList]) -> None:
    """Put lists before readers, in place of what a user had."""
    execute_values(
        cursor,
        # By the clock and not the start of the transaction: what was read is older than this.
        "INSERT INTO live_recommendations AS t "
        "(user_id, model_run_id, made_at, item_ids, scores, sources, reasons) VALUES %s "
        "ON CONFLICT (user_id) DO UPDATE SET model_run_id = excluded.model_run_id, "
        "made_at = excluded.made_at, item_ids = excluded.item_ids, scores = excluded.scores, "
        "sources = excluded.sources, reasons = excluded.reasons",
        [
            (
                one.user_id,
                model_run_id,
                _array(one.item_ids),
                "{" + ",".join(map(repr, map(float, one.scores))) + "}",
                _array(one.sources),
                _array(one.reasons),
            )
            for one in lists
        ],
        template="(%s, %s, clock_timestamp(), %s::text[], %s::float8[], %s::text[], %s::text[])",
        page_size=len(lists) or 1,
    )


def _array(values: Sequence[str]) -> str:
    # As one literal: PostgreSQL parses it ten times as fast as an expression of as many parts. A
    # NUL, which no text holds, marks where one value ends while all are quoted at once.
    if not values:
        return "{}"
    joined = "\0".join(values).replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + joined.replace("\0", '","') + '"}'
