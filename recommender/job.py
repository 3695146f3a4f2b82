"""The training job: ``spark-submit recommender/job.py``. ``encore train`` submits it.

Reads what listeners gave items in one snapshot of the database, measures ALS against popularity
on the newest part, trains on everything, and switches readers to the new lists in one step. With
too little data it publishes the fallback lists instead, which needs no Spark.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from pyspark.sql import SparkSession

from database.migrate import pending
from encore.errors import EncoreError
from encore.log import configure_logging, get_logger
from encore.settings import Settings, redacted, settings
from encore.stack.endpoints import database_url
from recommender.als import AlsParameters
from recommender.dataset import (
    Snapshot,
    Summary,
    number_users,
    open_snapshot,
    read_catalogue,
    read_pairs,
    summarize,
)
from recommender.fallback import shortage, write_fallback_lists
from recommender.lists import personal_lists
from recommender.publish import discard, prepare, publish, write_factors, write_lists
from recommender.runs import Training, fail_run, only_one_training, record_training, start_run
from recommender.steps import Steps
from recommender.training import measure, train, verdict

log = get_logger("recommender")

# Users in one Arrow batch: bounds a worker's memory together with topk.BLOCK_BYTES.
ARROW_ROWS = 2048
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and publish once; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="seed of the model's first factors")
    seed = parser.parse_args(arguments).seed
    try:
        current = settings()
        configure_logging(current.log_format, current.log_level)
        log.info("settings", **redacted(current))
        run(database_url(), current, seed)
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def run(url: str, current: Settings, seed: int) -> int:
    """Make one run, published or failed; return its number.

    Raises:
        EncoreError: nothing was published; readers see what they saw before.
    """
    if pending(url):
        raise EncoreError("the database lacks tables. Bring it up to date with `encore migrate`.")
    with only_one_training(url):
        parameters = als_parameters(current, seed)
        model_run_id = start_run(url, "als", parameters.as_dict())
        try:
            make(url, model_run_id, current, parameters)
        except EncoreError as error:
            give_up(url, model_run_id, str(error))
            raise
        except Exception as error:
            log.debug("training failed", exc_info=error)
            give_up(url, model_run_id, one_line(error))
            raise EncoreError(
                f"run {model_run_id} failed, the published run stays: {one_line(error)}. "
                "LOG_LEVEL=debug shows where."
            ) from error
        except BaseException:
            give_up(url, model_run_id, "interrupted")
            raise
        return model_run_id


def make(url: str, model_run_id: int, current: Settings, parameters: AlsParameters) -> None:
    """Fill the run's own tables, by a model or without, and switch readers to them."""
    prepare(url, model_run_id)
    with open_snapshot(url) as snapshot:
        summary = summarize(
            snapshot.cursor, current.train_test_share, current.feature_affinity_half_life_days
        )
        missing = shortage(summary, current.train_min_interactions)
        if missing is None:
            write_model(snapshot, summary, model_run_id, current, parameters)
    if missing is not None:
        write_fallback(url, summary, model_run_id, current, missing)
    publish(url, model_run_id, current.recommend_keep_runs)
    log.info("published", model_run_id=model_run_id)


def write_model(
    snapshot: Snapshot,
    summary: Summary,
    model_run_id: int,
    current: Settings,
    parameters: AlsParameters,
) -> None:
    """Write the lists and factors of an ALS model of the snapshot into the run's own tables."""
    steps = Steps(log)
    with steps("start Spark"):
        spark = start_spark()
        context = spark.sparkContext
    with steps("read"):
        catalogue = read_catalogue(snapshot.cursor)
        shared = context.broadcast(catalogue)
        numbered = number_users(
            read_pairs(spark, snapshot, shared, partitions=context.defaultParallelism)
        )
    items = len(catalogue.ids)
    with steps("evaluate"):
        metrics = measure(spark, numbered, summary, items, parameters)
    with steps("train"):
        fitted = train(numbered, summary, items, parameters)
    with steps("write"):
        lists = personal_lists(
            fitted.users,
            context.broadcast(fitted.model.items),
            shared,
            model_run_id=model_run_id,
            top_n=current.recommend_top_n,
            alpha=parameters.alpha,
        )
        rows = write_lists(lists, snapshot.url, model_run_id)
        write_factors(snapshot.url, model_run_id, catalogue.ids, fitted.model.items.factors)
    warning = verdict(metrics)
    if warning:
        log.warning(warning)
    metrics |= {"rows": rows, "seconds": steps.seconds}
    record_training(snapshot.url, model_run_id, training_of("als", summary, metrics, warning))
    log.info("trained", pairs=summary.positive, als=metrics["als"], popular=metrics["popularity"])


def write_fallback(
    url: str, summary: Summary, model_run_id: int, current: Settings, missing: str
) -> None:
    """Write the lists that need no model into the run's own table."""
    rows = write_fallback_lists(url, model_run_id, current.recommend_top_n)
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


def give_up(url: str, model_run_id: int, reason: str) -> None:
    """Put a failed run on record and take its tables away; the published run stays."""
    try:
        fail_run(url, model_run_id, reason)
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


def start_spark() -> SparkSession:
    """Return the session that spark-submit configured, with what this job adds."""
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
