"""Experiments, and what came of their variants."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from serving.access import READS
from serving.experiments import EVERY, RESULTS, Experiment, Variant, of_rows
from serving.parts import parts_of
from serving.problems import not_found
from serving.reader import plain
from serving.rendering import answer
from serving.schemas import ExperimentResults, Experiments

router = APIRouter(tags=["experiments"], dependencies=[READS])


@router.get("/experiments", response_model=Experiments)
async def experiments(request: Request) -> Response:
    """List the experiments, the newest first; one runs at a time."""
    found = of_rows(await parts_of(request).reader.rows(EVERY))
    return answer({"experiments": [_told(one) for one in found]})


@router.get("/experiments/{name}/results", response_model=ExperimentResults)
async def results(
    request: Request,
    name: Annotated[
        str,
        Path(description="Which experiment.", max_length=48, pattern=r"^[a-z0-9_-]+$"),
    ],
) -> Response:
    """Say what came of each variant of an experiment.

    Intervals are of 95 %, as if impressions were independent: Wilson's of a rate, Newcombe's of
    the difference to the first variant.
    """
    rows = await parts_of(request).reader.rows(RESULTS.format("$1"), name)
    if not rows:
        raise not_found("experiment", name)
    return answer({"experiment": name, "variants": plain(rows)})


def _told(one: Experiment) -> dict[str, Any]:
    return {
        "name": one.name,
        "started_at": one.started_at,
        "stopped_at": one.stopped_at,
        "variants": [_variant(variant) for variant in one.variants],
    }


def _variant(one: Variant) -> dict[str, Any]:
    return {
        "name": one.name,
        "share": (one.bucket_to - one.bucket_from) / 10_000,
        "model_run_id": one.model_run_id,
        "max_per_artist": one.max_per_artist,
        "max_per_genre": one.max_per_genre,
        "without": list(one.without),
    }
