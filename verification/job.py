"""The verification: ``spark-submit verification/job.py``. ``encore verify`` submits it.

Reads the stream's books and the tables in one snapshot of the database, then the topics up to the
offsets of the books, once; counts everything again by plain Spark SQL and compares row by row.
"""

import argparse
import json
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from encore.errors import EncoreError
from encore.log import configure_logging, get_logger
from encore.settings import Settings, settings
from encore.stack.endpoints import database_url, kafka_bootstrap_servers
from verification.errors import ImpossibleError
from verification.recount import Recount, take
from verification.report import Report, accounting_lines, finding_lines, verdict
from verification.tables import ALL_TABLES

log = get_logger("verification")

DIFFERS = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify once; return the exit code."""
    options = _options(arguments)
    try:
        current = settings()
        configure_logging(current.log_format, current.log_level)
        report = run(current, options.table or ALL_TABLES)
        if options.json:
            text = json.dumps(report.as_dict(), indent=2) + "\n"
            options.json.write_text(text, encoding="utf-8")
    except EncoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    lines = [*accounting_lines(report.accounting), "", *finding_lines(report.findings), ""]
    sys.stdout.write("\n".join([*lines, verdict(report)]) + "\n")
    return 0 if report.clean else DIFFERS


def run(current: Settings, tables: Sequence[str]) -> Report:
    """Verify the tables and the accounts.

    Raises:
        ImpossibleError: what was counted cannot be counted again.
        ServiceUnavailableError: Kafka or PostgreSQL does not answer.
    """
    started = time.monotonic()
    bootstrap, database = kafka_bootstrap_servers(), database_url()
    with tempfile.TemporaryDirectory(prefix="encore-verify-") as folder:
        taken = take(bootstrap, database, current.topics, tables, Path(folder))
        log.debug("tables copied", seconds=round(time.monotonic() - started, 1))
        spark = start_spark()
        try:
            recount = Recount(spark, taken, bootstrap, current, tables)
            log.debug("topics read", seconds=round(time.monotonic() - started, 1))
            findings = recount.findings()
        except PySparkException as error:
            raise _lost(error) from error
        finally:
            spark.stop()
    return Report(taken.accounting, findings, recount.records, time.monotonic() - started)


def start_spark() -> SparkSession:
    """Return the session that spark-submit configured, with what this job adds."""
    spark = SparkSession.builder.appName("encore-verify").getOrCreate()
    if threading.current_thread() is threading.main_thread():
        # Spark's own handler calls the JVM in the middle of another call, and fails loudly.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger("py4j").setLevel(logging.CRITICAL)
    cores = spark.sparkContext.defaultParallelism
    spark.conf.set("spark.sql.shuffle.partitions", str(cores))
    return spark


def _lost(error: PySparkException) -> EncoreError:
    said = str(error).strip().splitlines()[0][:300]
    return ImpossibleError(
        f"Spark could not count again: {said}. If Kafka's retention removed records meanwhile, "
        "nothing can be said of them; else start it again. LOG_LEVEL=debug shows where."
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", action="append", choices=ALL_TABLES, help="only this table")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
