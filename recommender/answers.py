"""What a reader is told: recommendations with names, and how fresh they are."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg2.extensions

from encore.errors import EncoreError
from recommender.runs import published_run


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One row of a list. ``title`` and ``artist`` are None where the catalogue lacks the item."""

    rank: int
    item_id: str
    title: str | None
    artist: str | None
    score: float
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A user's list as of now, and the model run that the personal part of it comes from."""

    user_id: str
    known: bool
    model_run_id: int | None
    algorithm: str | None
    published_at: datetime | None
    data_to: datetime | None
    recommendations: list[Recommendation]

    def as_dict(self) -> dict[str, Any]:
        """Return the answer by name, with times in ISO 8601."""
        plain = asdict(self)
        for name in ("published_at", "data_to"):
            moment = plain[name]
            plain[name] = moment.isoformat() if moment else None
        return plain


def recommend_to(cursor: psycopg2.extensions.cursor, user_id: str, n: int) -> Answer:
    """Return up to ``n`` recommendations for any user, known or not.

    Raises:
        EncoreError: ``user_id`` cannot be the id of anyone.
    """
    if "\x00" in user_id:
        raise EncoreError(f"{user_id!r} cannot be a user's id: it has a NUL character in it.")
    run = published_run(cursor) or {}
    cursor.execute(
        "SELECT r.rank, r.item_id, i.title, a.name, r.score, r.source, r.reason"
        " FROM recommendations_for(%s, %s) AS r"
        " LEFT JOIN items AS i USING (item_id)"
        " LEFT JOIN artists AS a USING (artist_id) ORDER BY r.rank",
        (user_id, n),
    )
    return Answer(
        user_id=user_id,
        recommendations=[Recommendation(*row) for row in cursor.fetchall()],
        known=_is_known(cursor, user_id),
        model_run_id=run.get("model_run_id"),
        algorithm=run.get("algorithm"),
        published_at=run.get("published_at"),
        data_to=run.get("data_to"),
    )


def _is_known(cursor: psycopg2.extensions.cursor, user_id: str) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM users WHERE user_id = %(user)s)"
        " OR EXISTS (SELECT FROM user_counts_day WHERE user_id = %(user)s)"
        " OR EXISTS (SELECT FROM user_item_affinity WHERE user_id = %(user)s)",
        {"user": user_id},
    )
    row = cursor.fetchone()
    return bool(row and row[0])
