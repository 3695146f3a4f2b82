"""The training job: ``spark-submit recommender/job.py``. ``encore train`` submits it.

Reads what listeners gave items in one snapshot of the database, measures ALS on the newest part
against popularity, the blend and the published run, trains on everything, and switches readers to
the new lists in one step. With too little data it publishes the fallback lists instead. Spark is
started only if MLlib trains: ``python recommender/job.py`` is enough with TRAIN_ENGINE=implicit.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from database.engine import transaction
from database.migrate import require_newest
from encore.errors import EncoreError
from encore.log import configure_logging, get_logger
from encore.settings import Settings, TrainEngine, redacted, settings
from encore.stack.endpoints import database_url
from recommender import artifact, local
from recommender.ages import popular_by_age
from recommender.als import AlsParameters
from recommender.catalogue import Catalogue, read_catalogue
from recommender.dataset import Snapshot, Summary, open_snapshot, pair_columns, summarize
from recommender.engine import engine_of
from recommender.fallback import shortage, write_fallback_lists
from recommender.gate import Champion, drift, refusal
from recommender.outcomes import fallen
from recommender.publish import discard, prepare, publish, write_similar
from recommender.quality import verdict
from recommender.runs import (
    APPLICATION_NAME,
    Training,
    fail_run,
    list_runs,
    only_one_training,
    published_run,
    record_training,
    start_run,
)
from recommender.similar import similar_rows
from recommender.steps import Steps
from recommender.training import bundle_of, recipe_of, train

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recommender.trainer import Trainer

log = get_logger("recommender")

# Users in one Arrow batch.
ARROW_ROWS = 2048
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and publish once; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="seed of the model's first factors")
    parser.add_argument("--force", action="store_true", help="publish whatever the gate says")
    given = parser.parse_args(arguments)
    try:
        current = settings()
        configure_logging(current.log_format, current.log_level)
        log.info("settings", **redacted(current))
        run(database_url(), current, given.seed, force=given.force)
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


class RefusedError(EncoreError):
    """The gate kept a run from being published."""


def run(url: str, current: Settings, seed: int, *, force: bool = False) -> int:
    """Make one run, published or failed; return its number.

    Raises:
        RefusedError: it is worse than the published one, and not forced.
        EncoreError: nothing was published; readers see what they saw before.
    """
    require_newest(url)
    with only_one_training(url):
        parameters = als_parameters(current, seed)
        model_run_id = start_run(url, "als", parameters.as_dict())
        try:
            make(url, model_run_id, current, parameters, force=force)
        except RefusedError as error:
            give_up(url, model_run_id, str(error), "refused")
            raise EncoreError(
                f"run {model_run_id} is not published: {error}. The published run stays. "
                "`encore train --force` publishes whatever comes out."
            ) from None
        except EncoreError as error:
            give_up(url, model_run_id, str(error))
            raise
        except MemoryError as error:
            give_up(url, model_run_id, "out of memory")
            raise EncoreError(
                f"run {model_run_id} ran out of memory, the published run stays. Lower ALS_RANK, "
                "or train with TRAIN_ENGINE=mllib on more machines."
            ) from error
        except Exception as error:
            log.debug("training failed", exc_info=error)
            give_up(url, model_run_id, one_line(error))
            if "java.lang.OutOfMemoryError" in str(error):
                raise EncoreError(
                    f"run {model_run_id} ran out of memory in Spark, the published run stays. "
                    "Raise SPARK_DRIVER_MEMORY, or lower ALS_RANK."
                ) from error
            raise EncoreError(
                f"run {model_run_id} failed, the published run stays: {one_line(error)}. "
                "LOG_LEVEL=debug shows where."
            ) from error
        except BaseException:
            give_up(url, model_run_id, "interrupted")
            raise
        return model_run_id


def make(
    url: str, model_run_id: int, current: Settings, parameters: AlsParameters, *, force: bool
) -> None:
    """Fill the run's own tables, by a model or without, and switch readers to them."""
    prepare(url, model_run_id)
    with open_snapshot(url) as snapshot, snapshot.meanwhile(read_catalogue) as catalogue:
        summary = summarize(
            snapshot.cursor, current.train_test_share, current.feature_affinity_half_life_days
        )
        ages = popular_by_age(snapshot.cursor, summary, current.recommend_top_n)
        missing = shortage(summary, current.train_min_interactions)
        if missing is None:
            gate = Gate(url, current.train_gate_hours, force=force)
            items = catalogue.result()
            write_model(snapshot, summary, items, model_run_id, current, parameters, gate)
    if missing is not None:
        write_fallback(url, summary, model_run_id, current, missing, ages)
    publish(url, model_run_id, current.recommend_keep_runs, ages=ages)
    log.info("published", model_run_id=model_run_id)


class Gate:
    """What a run must pass: see :mod:`recommender.gate`."""

    def __init__(self, url: str, most_hours: float, *, force: bool) -> None:
        """Take the published run as the champion."""
        with transaction(url, application_name=APPLICATION_NAME) as cursor:
            self._champion = Champion.of(published_run(cursor))
            self._runs = list_runs(cursor)
            self._fallen = fallen(cursor)
        self._most_hours = most_hours
        self._force = force
        self.warnings: list[str] = []

    def __call__(self, metrics: Mapping[str, Any]) -> None:
        """Let a run pass.

        Raises:
            RefusedError: it must not be published, and is not forced.
        """
        reason = refusal(metrics, self._champion, datetime.now(UTC), self._most_hours)
        if reason and not self._force:
            raise RefusedError(reason)
        for warning in (reason, drift(metrics, self._runs), verdict(metrics), self._fallen):
            if warning and warning not in self.warnings:
                self.warnings.append(warning)
                log.warning(warning)


def write_model(
    snapshot: Snapshot,
    summary: Summary,
    catalogue: Catalogue,
    model_run_id: int,
    current: Settings,
    parameters: AlsParameters,
    gate: Gate,
) -> None:
    """Write the lists and files of an ALS model of the snapshot into the run's own tables."""
    steps = Steps(log)
    url = snapshot.url
    columns = pair_columns(summary)
    recipe = recipe_of(current, parameters, summary.now_s, summary.split_s)
    trainer: Trainer
    if engine_of(current, url) is TrainEngine.IMPLICIT:
        with steps("read"):
            trainer = local.read(snapshot, columns, catalogue, parameters)
    else:
        from recommender import mllib

        with steps("start Spark"):
            spark = start_spark()
        with steps("read"):
            trainer = mllib.read(spark, snapshot, columns, catalogue, parameters)
    trained = train(trainer, catalogue, recipe, steps, gate)
    bundle = bundle_of(trained, catalogue, recipe, model_run_id)
    with steps("write"):
        rows = trainer.write(bundle, url, current.recommend_top_n)
        similar = write_similar(
            url, model_run_id, similar_rows(bundle, current.recommend_similar_n)
        )
    metrics = {
        **trained.quality.metrics,
        "blend_weights": trained.quality.blend,
        "list_length": round(rows / max(summary.users, 1), 2),
        "rows": rows,
        "similar_rows": similar,
        "split_at_s": summary.split_s,
        "data": summary.fingerprint,
    }
    gate(metrics)
    metrics["seconds"] = steps.seconds
    message = "; ".join(gate.warnings) or None
    record_training(url, model_run_id, training_of("als", summary, metrics, message))
    with transaction(url, application_name=APPLICATION_NAME) as cursor:
        artifact.save(cursor, model_run_id, trained.artifact)
    log.info("trained", pairs=summary.positive, **trained.quality.metrics)


def write_fallback(
    url: str,
    summary: Summary,
    model_run_id: int,
    current: Settings,
    missing: str,
    ages: pa.Table,
) -> None:
    """Write the lists that need no model into the run's own table."""
    rows = write_fallback_lists(url, model_run_id, current.recommend_top_n, ages)
    message = f"{missing}; fallback lists instead"
    if not rows:
        message = f"{missing}; there is nothing to recommend yet, so the lists are empty"
    log.warning(message)
    metrics = {"rows": rows}
    record_training(url, model_run_id, training_of("fallback", summary, metrics, message))


def training_of(
    algorithm: str, summary: Summary, metrics: Mapping[str, object], message: str | None
) -> Training:
    """Return what is put on record of a run."""
    return Training(
        algorithm=algorithm,
        users=summary.users,
        items=summary.items,
        interactions=summary.positive,
        data_from=summary.data_from,
        data_to=summary.data_to,
        metrics=metrics,
        message=message,
    )


def give_up(url: str, model_run_id: int, reason: str, status: str = "failed") -> None:
    """Put a failed run on record and take its tables away; the published run stays."""
    try:
        fail_run(url, model_run_id, reason, status)
        discard(url, model_run_id)
    except Exception as second:  # the first error is the one to tell
        log.error("could not clean up after the failed run", error=str(second))


def one_line(error: Exception) -> str:
    """Return an error's type and the first line of what it says."""
    said = str(error).strip() or "no message"
    return f"{type(error).__name__}: {said.splitlines()[0][:300]}"


def als_parameters(current: Settings, seed: int) -> AlsParameters:
    """Return the parameters of the settings. Blocks are fixed, so that a seed means one model."""
    return AlsParameters(
        rank=current.als_rank,
        iterations=current.als_iterations,
        regularization=current.als_regularization,
        alpha=current.als_alpha,
        seed=seed,
        blocks=current.als_blocks,
    )


def start_spark() -> "SparkSession":
    """Return the session that spark-submit configured, with what this job adds."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("encore-train").getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # Spark's own handler calls the JVM in the middle of another call, and fails loudly.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(ARROW_ROWS))
    spark.conf.set("spark.sql.shuffle.partitions", str(spark.sparkContext.defaultParallelism))
    return spark


if __name__ == "__main__":
    sys.exit(main())
