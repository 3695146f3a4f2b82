"""Run the training job in processes of its own, once or again and again."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from encore.log import get_logger

log = get_logger("recommender")

STOP_SECONDS = 20.0


def run_job(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and return its exit code; an interrupt ends it and all it started.

    Every training is a fresh process, so memory that one did not give back is not the next one's.
    """
    # A session of its own: the interrupt comes from here, once, also when it is not the terminal's.
    process = subprocess.Popen(
        list(command), env={**os.environ, **environment}, start_new_session=True
    )
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def repeat(train: Callable[[], int], every: timedelta) -> None:
    """Train, wait until ``every`` has passed since the start, and again, until interrupted.

    A training that fails is logged; readers keep what they had, and the next one comes in time.
    """
    while True:
        started = time.monotonic()
        code = train()
        if code:
            log.error("training failed, trying again later", exit_code=code)
        rest = every.total_seconds() - (time.monotonic() - started)
        if rest > 0:
            log.info("next training", in_seconds=round(rest))
            time.sleep(rest)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
