"""Model runs: what each was worth, which one readers see, and back to an older one."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

import asyncpg
import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from recommender.metrics import COVERAGE, NDCG, RECALL
from recommender.quality import ALS, BLEND, HIGH, LOW, POPULARITY
from recommender.runs import no_training
from recommender.switch import roll_back
from serving.access import ADMINISTERS, READS
from serving.administering import CONFLICT, administer
from serving.insights import Diversity, ModelRuns, RolledBack
from serving.parameters import Count
from serving.parts import parts_of
from serving.problems import not_found
from serving.rendering import answer

router = APIRouter(tags=["models"])

_MOST_LISTS: Final = 500
_FIRST: Final = 10
_RUN_ID: Final = {"ge": 1, "le": 2**63 - 1}
_SHOWN: Final = (
    "model_run_id", "algorithm", "status", "champion", "kept", "users", "items", "interactions",
    "data_from", "data_to", "started_at", "published_at", "duration_seconds", "message",
)  # fmt: skip
_RUNS: Final = """
SELECT m.*, p.model_run_id IS NOT NULL AS champion, m.status = 'superseded' AS kept,
       (SELECT model_run_id FROM published_run) AS champion_run
  FROM model_runs AS m LEFT JOIN published_run AS p USING (model_run_id)
 ORDER BY m.model_run_id DESC LIMIT $1
"""
_DIVERSITY: Final = f"""
WITH sampled AS MATERIALIZED (
  SELECT user_id FROM recommendations WHERE model_run_id = $1 AND rank = 1
   ORDER BY user_id LIMIT {_MOST_LISTS}
), shown AS MATERIALIZED (
  SELECT r.user_id, r.item_id, r.source, i.artist_id
    FROM sampled JOIN recommendations AS r USING (user_id) LEFT JOIN items AS i USING (item_id)
   WHERE r.model_run_id = $1 AND r.rank <= {_FIRST}
)
SELECT (SELECT count(*) FROM sampled) AS lists,
       (SELECT count(DISTINCT (user_id, artist_id))::float8 FROM shown
         WHERE artist_id IS NOT NULL) AS artists,
       (SELECT count(DISTINCT (s.user_id, g.genre))::float8
          FROM shown AS s JOIN item_genres AS g USING (item_id)) AS genres,
       (SELECT count(DISTINCT item_id) FROM shown) AS items,
       (SELECT jsonb_object_agg(source, share) FROM (
          SELECT source, count(*)::float8 / sum(count(*)) OVER () AS share
            FROM shown GROUP BY source) AS of_source) AS sources
  FROM model_runs WHERE model_run_id = $1
"""  # noqa: S608 (of constants)


@router.get("/models", response_model=ModelRuns, dependencies=[READS])
async def models(request: Request, n: Count = 50) -> Response:
    """List the model runs with what each was made from and worth, the newest first."""
    rows = await parts_of(request).reader.rows(_RUNS, n)
    champion = rows[0]["champion_run"] if rows else None
    return answer({"champion": champion, "runs": [_run(row) for row in rows]})


def _run(row: asyncpg.Record) -> dict[str, Any]:
    metrics: Mapping[str, Any] = orjson.loads(row["metrics"] or "{}") or {}
    return {
        **{name: row[name] for name in _SHOWN},
        "parameters": orjson.loads(row["parameters"]),
        "test_users": metrics.get("test_users", 0),
        "orders_lists": metrics.get("published"),
        "list_length": metrics.get("list_length"),
        "quality": [
            _quality(name, metrics[name]) for name in (ALS, BLEND, POPULARITY) if name in metrics
        ],
    }


def _quality(model: str, found: Mapping[str, float]) -> dict[str, Any]:
    return {
        "model": model,
        "ndcg": found[NDCG],
        "ndcg_low": found.get(LOW),
        "ndcg_high": found.get(HIGH),
        "recall": found[RECALL],
        "coverage": found.get(COVERAGE),
    }


@router.get("/models/{run}/diversity", response_model=Diversity, dependencies=[READS])
async def diversity(
    request: Request, run: Annotated[int, Path(description="Which run.", **_RUN_ID, examples=[1])]
) -> Response:
    """Say how much variety is in a run's lists. Of a run that is not kept there are none."""
    row = await parts_of(request).reader.row(_DIVERSITY, run)
    if row is None:
        raise not_found("run", str(run))
    lists, sources = row["lists"], orjson.loads(row["sources"] or "{}")
    return answer(
        {
            "model_run_id": run,
            "lists": lists,
            "artists": row["artists"] / lists if lists else None,
            "genres": row["genres"] / lists if lists else None,
            "items": row["items"],
            "sources": {name: float(share) for name, share in sources.items()},
        }
    )


@router.post(
    "/models/rollback",
    response_model=RolledBack,
    responses=CONFLICT,
    dependencies=[ADMINISTERS],
)
async def rollback(
    request: Request,
    run: Annotated[
        int | None,
        Query(description="The run to show readers again. Default: the one before.", **_RUN_ID),
    ] = None,
) -> Response:
    """Show readers an older run again, at once and as it was, as `encore rollback` does."""
    parts = parts_of(request)
    old, new = await administer(parts, partial(_roll_back, run=run))
    return answer({"model_run_id": new, "before": old})


def _roll_back(url: str, run: int | None) -> tuple[int, int]:
    with no_training(url):
        return roll_back(url, run)
