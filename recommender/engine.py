"""Which engine trains, and the process that it runs in."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from database.engine import transaction
from encore.settings import Settings, TrainEngine
from recommender.runs import APPLICATION_NAME

JOB: Final = Path(__file__).with_name("job.py")
APP_NAME: Final = "encore-train"


def engine_of(current: Settings, url: str) -> TrainEngine:
    """Return the engine of the settings; ``auto`` looks at how many pairs there are, about."""
    if current.train_engine is not TrainEngine.AUTO:
        return current.train_engine
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        cursor.execute(
            "SELECT reltuples FROM pg_class WHERE oid = to_regclass('user_item_affinity')"
        )
        pairs = (cursor.fetchone() or (0,))[0]
    fits = pairs <= current.train_local_pairs
    return TrainEngine.IMPLICIT if fits else TrainEngine.MLLIB


def training_command(
    engine: TrainEngine, arguments: Sequence[str]
) -> tuple[list[str], Mapping[str, str]]:
    """Return the command line and the environment of a training: by ``spark-submit`` for MLlib."""
    from encore.spark import submission

    chosen = {"TRAIN_ENGINE": engine.value}
    if engine is TrainEngine.IMPLICIT:
        return [sys.executable, str(JOB), *arguments], chosen
    job = submission(JOB, arguments, app_name=APP_NAME)
    return job.command, {**job.environment, **chosen}
