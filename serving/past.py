"""The list that a listener was shown at a past moment, as far as the tables can tell.

They can tell the run that was published then, while it is kept, and its list, without what the
listener knew by then. Of what `encore live` makes only the newest is there: if it was made later,
one before it may have been shown. What trended then nobody knows, so nothing is filled up.
"""

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from serving.cards import Cards
from serving.entries import entries_of
from serving.problems import ProblemError
from serving.reader import Reader
from serving.recommending import Ask, allowed, paged

_LIST: Final = """
SELECT s.model_run_id AS run, m.model_run_id, s.switched_at, m.algorithm, m.data_to,
       l.made_at AS live_at, l.counts AS live, r.*
  FROM (SELECT 1) AS always
  LEFT JOIN LATERAL (SELECT w.model_run_id, w.switched_at FROM run_switches AS w
                      WHERE w.switched_at <= $2
                      ORDER BY w.switched_at DESC LIMIT 1) AS s ON true
  LEFT JOIN model_runs AS m USING (model_run_id)
  LEFT JOIN LATERAL (SELECT n.*, n.model_run_id = s.model_run_id AND n.made_at <= $2 AS counts
                       FROM live_recommendations AS n WHERE n.user_id = $1) AS l ON true
 CROSS JOIN LATERAL (
    SELECT array_agg(e.item_id ORDER BY e.rank) AS item_ids,
           array_agg(e.score ORDER BY e.rank) AS scores,
           array_agg(e.source ORDER BY e.rank) AS sources,
           array_agg(e.reason ORDER BY e.rank) AS reasons
      FROM (SELECT t.rank, t.item_id, t.score, t.source, t.reason
              FROM unnest(l.item_ids, l.scores, l.sources, l.reasons)
                   WITH ORDINALITY AS t (item_id, score, source, reason, rank)
             WHERE l.counts
             UNION ALL
            SELECT o.rank, o.item_id, o.score, o.source, o.reason
              FROM recommendations AS o
             WHERE o.model_run_id = s.model_run_id AND o.user_id = $1
               AND l.counts IS NOT TRUE) AS e
     WHERE e.item_id <> ALL ($3::text[])
       AND ($4::text IS NULL
            OR EXISTS (SELECT FROM item_genres AS w WHERE w.item_id = e.item_id AND w.genre = $4))
       AND ($5 OR NOT EXISTS (SELECT FROM user_item_affinity AS k
                               WHERE k.user_id = $1 AND k.item_id = e.item_id
                                 AND k.first_at <= $2))) AS r
"""


async def past_recommendations(
    reader: Reader, cards: Cards, ask: Ask, as_of: datetime
) -> dict[str, Any]:
    """Return the answer to ``GET /recommend/{user}`` with ``as_of``.

    Raises:
        ProblemError: nobody can tell any more, or never could (404); PostgreSQL is away (503).
    """
    (head,) = await reader.rows(
        _LIST, ask.user_id, as_of, list(ask.exclude), ask.genre, not ask.exclude_known
    )
    if head["run"] is None:
        raise _untold("no switch of runs as early as that is on record")
    if head["model_run_id"] is None:
        raise _untold(f"run {head['run']}, which was published then, is not kept any more")
    if head["item_ids"] is None and not head["live"]:
        raise _untold(f"run {head['run']}, which was published then, has no list of that listener")
    left = allowed(await entries_of(cards, head), ask)
    page = paged(left, ask, head["model_run_id"])
    made_at = head["live_at"] if head["live"] else head["switched_at"]
    return {
        "user_id": ask.user_id,
        "known": True,
        "model_run_id": head["model_run_id"],
        "algorithm": head["algorithm"],
        "published_at": head["switched_at"],
        "data_to": head["data_to"],
        "made_by": "live" if head["live"] else "run",
        "made_at": made_at,
        "variant": None,
        "recommendations": page.recommendations,
        "next": page.next,
        "as_of": as_of,
        "certain": head["live_at"] is None or head["live_at"] <= as_of,
    }


def _untold(because: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"nobody can tell what was shown then: {because}")
