"""The streaming job killed where it hurts and anywhere else, its checkpoint lost or spoilt."""

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.inside import PY4J_LEAVES_SOCKETS, Inside
from tests.faults.pipeline import Pipeline
from tests.programs import encore_exit

pytestmark = [pytest.mark.faults, pytest.mark.services, PY4J_LEAVES_SOCKETS]


def leave(_: Path) -> None:
    """Let the next start find the checkpoint as the kill left it."""


def lose(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)


def spoil(checkpoint: Path) -> None:
    for file in [one for one in checkpoint.rglob("*") if one.is_file()]:
        file.write_bytes(b"\x00garbage\xff")
    (checkpoint / "metadata").write_bytes(b"\x00garbage\xff")
    (checkpoint / "offsets" / "99").write_bytes(b"\x00garbage\xff")


def make_another_version(checkpoint: Path) -> None:
    """Leave what another version of Spark, with another query on other offsets, would."""
    shutil.rmtree(checkpoint)
    for folder in ("offsets", "commits", "sources/0"):
        (checkpoint / folder).mkdir(parents=True)
    (checkpoint / "metadata").write_text('{"id":"4f6e3f4e-6f7d-4c37-9e05-6c0a0d1c1f11"}')
    offsets = {"another.topic": {"0": 5_000_000}}
    for number in range(3):
        text = f"v999\n{{}}\n{json.dumps(offsets)}"
        (checkpoint / "offsets" / str(number)).write_text(text)
        (checkpoint / "commits" / str(number)).write_text("v999\n{}")


POINTS = ("before-staging:3", "before-commit:3", "after-commit:3")
HARMS: tuple[Callable[[Path], None], ...] = (leave, lose, leave, spoil, leave,
                                             make_another_version, leave)  # fmt: skip


# One history serves all of it: starts of the job are most of the time.
def test_ten_kills_at_dangerous_and_at_random_moments_change_no_number(inside: Inside) -> None:
    pipeline = inside.pipeline
    pipeline.produce("--seed=3")
    for point in POINTS:
        env = {"STREAM_FAULT": point, "STREAM_MAX_OFFSETS_PER_TRIGGER": "1500"}
        assert encore_exit("stream", "--available-now", env={**pipeline.env, **env}) != 0
    seed = random.randrange(2**32)
    sys.stderr.write(f"seed {seed}\n")
    moments = random.Random(seed)
    for harm in HARMS:
        with pipeline.streaming(STREAM_MAX_OFFSETS_PER_TRIGGER="1000") as job:
            pipeline.wait_for_progress(job, moments.randint(1, 2500))
            job.kill()
        for checkpoint in checkpoints(pipeline):
            harm(checkpoint)
    # What was sent before comes once more, and is told from new events.
    pipeline.produce("--seed=3", "--no-entities", "--max-events=9000")
    inside.count_all(stream_max_offsets_per_trigger=20_000)
    pipeline.assert_exact()
    assert pipeline.staging_tables() == 0


def checkpoints(pipeline: Pipeline) -> list[Path]:
    """Return where the killed job kept its places, that of events among them."""
    (events,) = pipeline.folder.glob(f"home/checkpoints/*/{pipeline.topics.events}")
    assert (events / "offsets").is_dir()
    return [one for one in events.parent.iterdir() if (one / "offsets").is_dir()]
