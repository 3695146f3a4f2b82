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
POLL_SECONDS = 0.05
NOTHING = 0  # a signal that only asks whether anyone is there


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
    # Ended anywhere, a training leaves what is published as it was: see publish.py. An interrupt
    # instead would let Spark and its driver each tell at length what the other one's end broke.
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not _signal_group(process, NOTHING):
                return
            time.sleep(POLL_SECONDS)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    process.poll()  # a dead leader that nobody waited for would keep the group alive
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
