"""Named steps of a job, timed and logged."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.typing import FilteringBoundLogger


class Steps:
    """Log each step as it ends; ``seconds`` keeps how long each took."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a step. One that fails is not logged as done."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
        self._log.info(name, seconds=self.seconds[name])
