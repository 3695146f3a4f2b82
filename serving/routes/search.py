"""Listeners: found by id or name, or those who did something last."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from encore.events import MAX_TEXT_LENGTH
from serving.access import READS
from serving.parameters import TEXT, Count
from serving.parts import parts_of
from serving.reader import plain
from serving.rendering import answer
from serving.schemas import FoundUsers

router = APIRouter(tags=["users"], dependencies=[READS])

# Each part has an index of its own. Who is not announced can be found by the whole id. The exact id
# comes first, then the beginnings, then names that hold what was asked for, then those nearly so.
FOUND: Final = """
SELECT f.user_id, u.name, u.city, u.country
  FROM (SELECT user_id FROM users WHERE starts_with(lower(user_id), lower($1))
         UNION
        SELECT user_id FROM user_matches($1)
         UNION
        SELECT user_id FROM user_counts_day WHERE user_id = $1) AS f
  LEFT JOIN users AS u USING (user_id)
 ORDER BY f.user_id = $1 DESC, starts_with(lower(f.user_id), lower($1)) DESC,
          (u.name ILIKE like_pattern($1)) IS TRUE DESC, length(f.user_id), f.user_id
 LIMIT $2
"""
_ACTIVE: Final = """
SELECT s.user_id, u.name, u.city, u.country
  FROM (SELECT user_id, max(last_event_at) AS last_event_at
          FROM (SELECT user_id, last_event_at FROM session_counts
                 ORDER BY last_event_at DESC LIMIT 10 * $1) AS newest
         GROUP BY user_id) AS s
  LEFT JOIN users AS u USING (user_id)
 ORDER BY s.last_event_at DESC, s.user_id LIMIT $1
"""


@router.get("/users", response_model=FoundUsers)
async def find_users(
    request: Request,
    q: Annotated[
        str | None,
        Query(
            description="Beginning of an id, part of a name, or what is nearly that. Default: who "
            "was active last.",
            min_length=1,
            max_length=MAX_TEXT_LENGTH,
            pattern=TEXT,
        ),
    ] = None,
    n: Count = 20,
) -> Response:
    """Find listeners."""
    reader = parts_of(request).reader
    rows = await (reader.rows(_ACTIVE, n) if q is None else reader.rows(FOUND, q, n))
    return answer({"users": plain(rows)})
