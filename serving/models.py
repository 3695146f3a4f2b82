"""The published model in memory: loaded beside the event loop, anew when readers see another run.

While another is loaded, the one before goes on answering: each answer says which run it is from.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg2

from database.engine import transaction
from encore.errors import EncoreError
from encore.log import get_logger
from encore.settings import Settings
from recommender.live.folded import FoldedLists, load_folded
from recommender.rules import Rules
from serving.measures import Measures
from serving.problems import away
from serving.reader import APPLICATION_NAME, Reader

log = get_logger("serving")

_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 10.0
_THREADS: Final = 4

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Loaded:
    """What came of loading a run; ``model`` is None where that run has none, or it failed."""

    run: int
    model: FoldedLists | None
    because: str
    until: float


class Models:
    """The model that readers see, for requests that are scored here."""

    def __init__(self, url: str, reader: Reader, settings: Settings, measures: Measures) -> None:
        """Take where it is loaded from."""
        self._url = url
        self._reader = reader
        self._settings = settings
        self._measures = measures
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="model")
        self._loaded: _Loaded | None = None
        self._loading: asyncio.Task[None] | None = None
        self._run: int | None = None
        self._look_at = 0.0

    async def current(self) -> FoldedLists:
        """Return the published model.

        Raises:
            ProblemError: none is published, it cannot be loaded, or PostgreSQL is away.
        """
        run = await self._published()
        if run is None:
            raise away("no model is published yet: `encore train` publishes one")
        if self._stale(run):
            if self._loading is None or self._loading.done():
                self._loading = asyncio.create_task(self._load(run))
            if self._loaded is None or self._loaded.model is None:
                await asyncio.shield(self._loading)
        if self._loaded is None or self._loaded.model is None:
            raise away(self._loaded.because if self._loaded else "PostgreSQL does not answer")
        return self._loaded.model

    async def work(self, work: Callable[[], Value]) -> Value:
        """Do work that takes a processor, or waits for PostgreSQL, beside the event loop.

        Raises:
            ProblemError: PostgreSQL is away.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (psycopg2.OperationalError, psycopg2.InterfaceError, EncoreError) as error:
            log.warning("the model's work failed", because=f"{type(error).__name__}: {error}")
            raise away("PostgreSQL does not answer") from None

    async def close(self) -> None:
        """Wait for what is loading, and end the threads."""
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
        self._threads.shutdown()

    async def _published(self) -> int | None:
        now = time.monotonic()
        if now >= self._look_at:
            row = await self._reader.row("SELECT model_run_id FROM published_run")
            self._run = row["model_run_id"] if row else None
            self._look_at = now + _LOOK_SECONDS
        return self._run

    def _stale(self, run: int) -> bool:
        loaded = self._loaded
        return loaded is None or loaded.run != run or time.monotonic() > loaded.until

    async def _load(self, run: int) -> None:
        began = time.monotonic()
        because, seconds = f"run {run} has no model", self._settings.live_catalogue_seconds
        model: FoldedLists | None = None
        try:
            model = await asyncio.get_running_loop().run_in_executor(self._threads, self._read)
        except (psycopg2.Error, EncoreError) as error:
            log.warning("the model cannot be loaded", model_run_id=run, because=str(error))
            because, seconds = f"the model of run {run} cannot be loaded", _RETRY_SECONDS
        self._loaded = _Loaded(
            model.model_run_id if model else run, model, because, time.monotonic() + seconds
        )
        self._look_at = 0.0  # readers may have been switched meanwhile
        self._measures.model(model.model_run_id if model else 0)
        if model:
            ms = round((time.monotonic() - began) * 1000)
            log.info("model loaded", model_run_id=model.model_run_id, ms=ms)

    def _read(self) -> FoldedLists | None:
        with transaction(self._url, application_name=APPLICATION_NAME) as cursor:
            return load_folded(
                cursor, Rules.of(self._settings), self._settings.feature_affinity_half_life_days
            )
