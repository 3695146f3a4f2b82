"""The streaming job killed where it hurts and anywhere else: every number stays exact."""

import random
import sys

import pytest

from tests.faults.pipeline import Pipeline
from tests.programs import encore_exit

pytestmark = [pytest.mark.faults, pytest.mark.services]


def test_a_kill_at_each_dangerous_moment_changes_no_number(pipeline: Pipeline) -> None:
    pipeline.produce("--seed=3")
    for point in ("before-staging:3", "before-commit:3", "after-commit:3"):
        died = encore_exit("stream", "--available-now", env={**pipeline.env, "STREAM_FAULT": point})
        assert died != 0
    # What was sent before comes once more, and is told from new events.
    pipeline.produce("--seed=3", "--no-entities", "--max-events=9000")
    pipeline.count_all()
    pipeline.assert_exact()
    assert pipeline.staging_tables() == 0


def test_ten_kills_at_random_moments_change_no_number(pipeline: Pipeline) -> None:
    seed = random.randrange(2**32)
    sys.stderr.write(f"seed {seed}\n")
    moments = random.Random(seed)
    pipeline.produce("--seed=4")
    for _ in range(10):
        with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as job:
            pipeline.wait_for_progress(job, moments.randint(1, 2500))
            job.kill()
    pipeline.count_all()
    pipeline.assert_exact()
