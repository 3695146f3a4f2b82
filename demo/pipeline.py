"""The demo's course: services, history, first model, then live until it is stopped.

1. What is missing is fetched, the services are started, the schema and topics made, then the API
   with the page.
2. The stream starts; meanwhile the history is sent, unless an earlier start has sent it.
3. When the tables hold the history, the first model is trained; then live events begin.
4. Live: lists follow what listeners do, and a training every two minutes, until Ctrl-C or the
   end of ``--for``.
5. At the end of ``--for``: producing stops, the rest is counted, the report is made.

Whatever ends the demo, its processes are ended, and the servers that it started are stopped.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from demo import memory
from demo.crew import Crew
from demo.memory import Memory, World
from demo.observer import UNREACHABLE, Observation, Observer
from demo.page import Page
from demo.processes import kill_marked
from demo.report import Findings, build_report
from demo.screen import Screen
from demo.services import Services, look_further
from demo.snapshot import Snapshot, Step
from encore.errors import EncoreError
from encore.log import get_logger
from encore.settings import settings

log = get_logger("demo")

TICK_SECONDS: Final = 1.0
SHORTEST_WAIT_SECONDS: Final = 0.05
STALLED_SECONDS: Final = 300.0
UNREACHABLE_SECONDS: Final = 60.0
EXTRA_SECONDS: Final = 300.0
HOW_TO_STOP: Final = "Ctrl-C stops everything; the next start goes on from there, --fresh anew"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for. ``run_for`` is in s; ``world`` holds what was given."""

    world: Mapping[str, Any]
    run_for: float | None = None
    fresh: bool = False
    listener: str | None = None


class Demo:
    """One run of the demo in a home, shown on a screen that is already entered."""

    def __init__(
        self,
        options: Options,
        home: Path,
        screen: Screen,
        elapsed: Callable[[], float],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._options = options
        self._screen = screen
        self._elapsed = elapsed
        self._wait = wait
        self._home = home
        self._memory_file = home / "demo.json"
        self._services = Services(home)
        self._crew = Crew(home)
        self._page = Page()
        self._observer: Observer | None = None
        self._memory: Memory | None = None
        self._steps: list[Step] = []
        self._seen = Observation()
        self._moved_at = self._answered_at = 0.0
        self._fetched_at = 0.0
        self._first_recommendation: float | None = None

    # --- the course -----------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Go through the whole course; return the report. Ends by itself only with ``--for``."""
        if self._options.fresh:
            self._services.refuse_external()
        kill_marked(self._home)
        remembered = None if self._options.fresh else memory.load(self._memory_file)
        world = memory.choose_world(
            dict(self._options.world), remembered.world if remembered else None
        )
        with self._step("fetched"):
            self._services.fetch()
        self._fetched_at = self._elapsed()
        observer = self._prepare()
        self._moved_at = self._answered_at = self._elapsed()
        before = observer.ends()
        held = self._recall(remembered, world, observer)
        self._crew.start_stream()
        if not held.history_sent:
            held = self._send_history(held)
        with self._step("counted"):
            backlog = observer.ends()
            self._until(lambda: self._seen.has_counted(backlog))
        # On two cores live events and a training slow each other down, and the first lists matter
        # more. Where there are lists already, life goes on at once.
        if self._seen.recommends:
            self._go_live(held)
            self._train()
        else:
            self._train()
            self._go_live(held)
        self._until(self._is_over)
        with self._step("drained"):
            self._crew.stop_trainings()
            self._stop_producing()
            ends = observer.ends()
            self._until(lambda: self._seen.has_counted(ends))
        return self._report(observer, before)

    def end(self, hurried: Callable[[], bool]) -> None:
        """End every process and stop the servers that the demo started, whatever happened."""
        try:
            self._stop_producing(hurried)
        finally:
            try:
                self._crew.end(hurried)
            finally:
                if self._observer is not None:
                    self._observer.close()
                self._services.down()

    def _prepare(self) -> Observer:
        from database.migrate import upgrade
        from encore.stack.endpoints import database_url, kafka_bootstrap_servers
        from encore.topics import ensure_topics

        with self._step("services"):
            if self._options.fresh:
                self._services.wipe()
                self._memory_file.unlink(missing_ok=True)
            self._services.up()
        with self._step("schema"):
            upgrade(database_url())
            ensure_topics(kafka_bootstrap_servers(), settings().topics, settings())
        self._page.take_key(database_url())
        self._crew.start_api(self._page.arguments)
        log.info("the page", at=self._page.address, key=str(self._page.key_file))
        self._observer = Observer(
            kafka_bootstrap_servers(), database_url(), settings().topics, self._options.listener
        )
        return self._observer

    def _recall(self, remembered: Memory | None, world: World, observer: Observer) -> Memory:
        """Return what has been sent to these very topics, which may be others than last time."""
        topic_id = observer.topic_ids[settings().topics.events]
        if remembered is None or remembered.topic_id != topic_id:
            remembered = Memory(topic_id=topic_id, world=world, live_from_ms=_now_ms())
        return self._remember(remembered)

    def _remember(self, held: Memory) -> Memory:
        memory.save(self._memory_file, held)
        self._memory = held
        return held

    def _send_history(self, held: Memory) -> Memory:
        """Send the history. One that was cut short is sent again: the same events, counted once."""
        with self._step("history sent"):
            self._crew.start_producer("history", held.history_arguments(), endless=False)
            self._until(self._crew.has_produced)
        return self._remember(replace(held, history_sent=True))

    def _train(self) -> None:
        with self._step("model"):
            self._crew.start_training()
            self._until(lambda: self._crew.trained > 0)

    def _go_live(self, held: Memory) -> None:
        counted = self._seen.flow.counted.next
        # Not before there may be a model: during the history it would be work for nothing.
        self._crew.start_live_lists()
        with self._step("live"):
            resumed = self._remember(held.resumed(_now_ms()))
            self._crew.start_producer("live", resumed.live_arguments(), endless=True)
            self._until(lambda: self._seen.flow.counted.next > counted)

    def _stop_producing(self, hurried: Callable[[], bool] = lambda: False) -> None:
        self._crew.end_producer(hurried)
        if self._memory is not None and self._memory.away and self._memory.stopped_ms is None:
            self._remember(replace(self._memory, stopped_ms=_now_ms()))

    def _is_over(self) -> bool:
        run_for = self._options.run_for
        if run_for is None:
            return False
        return self._running_for() >= run_for and self._first_recommendation is not None

    def _running_for(self) -> float:
        """Return the time in s since everything was fetched."""
        return self._elapsed() - self._fetched_at

    def _report(self, observer: Observer, before: Mapping[tuple[str, int], int]) -> dict[str, Any]:
        self._look()
        return build_report(
            Findings(
                events_topic=settings().topics.events,
                ends=_by_topic(self._seen.ends),
                ends_before=_by_topic(before),
                acknowledged=self._crew.acknowledged(),
                progress=self._seen.progress,
                rows=observer.count_rows(),
                model=self._seen.model,
                first_recommendation_seconds=self._first_recommendation,
                steps=tuple(self._steps),
                seconds=self._elapsed(),
                notes=tuple(self._crew.notes),
                outcomes=observer.outcomes(),
            )
        )

    # --- watching -------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = self._elapsed()
        self._steps.append(Step(name))
        self._show()
        yield
        self._steps[-1] = Step(name, self._elapsed() - begun)
        self._show()

    def _until(self, reached: Callable[[], bool]) -> None:
        """Watch until something is reached.

        Raises:
            EncoreError: it cannot be reached any more.
        """
        while True:
            begun = self._elapsed()
            self._crew.mind()
            self._look()
            self._refuse_standstill()
            self._show()
            if reached():
                return
            self._wait(max(TICK_SECONDS - (self._elapsed() - begun), SHORTEST_WAIT_SECONDS))

    def _look(self) -> None:
        if self._observer is None:
            return
        before = self._seen.counted
        now = self._elapsed()
        try:
            self._seen = self._observer.observe(now)
        except UNREACHABLE as error:
            if now - self._answered_at > UNREACHABLE_SECONDS:
                raise EncoreError(
                    f"no answer for {UNREACHABLE_SECONDS:.0f} s: {' '.join(str(error).split())}"
                ) from None
            return
        self._answered_at = now
        if self._seen.counted != before or not self._seen.flow.lag:
            self._moved_at = now
        if self._seen.recommends and self._first_recommendation is None:
            self._first_recommendation = self._running_for()

    def _refuse_standstill(self) -> None:
        now, run_for = self._elapsed(), self._options.run_for
        if now - self._moved_at > STALLED_SECONDS:
            raise EncoreError(
                f"the stream has counted nothing for {STALLED_SECONDS:.0f} s while "
                f"{self._seen.flow.lag} records wait. Its last lines: {self._crew.stream_lines()}"
            )
        late = run_for is not None and self._running_for() > run_for + EXTRA_SECONDS
        if late and self._first_recommendation is None:
            raise EncoreError(
                f"there is no recommendation {now:.0f} s after the start. "
                f"See the logs under {self._home / 'logs'}."
            )

    def _show(self) -> None:
        seen = self._seen
        listener = self._options.listener or (seen.listener.user_id if seen.listener else "")
        footer = (
            (*self._page.lines(), *look_further(listener), HOW_TO_STOP) if self._observer else ()
        )
        self._screen.show(
            Snapshot(
                seconds=self._elapsed(),
                steps=tuple(self._steps),
                flow=seen.flow,
                open_sessions=seen.open_sessions,
                trending=seen.trending,
                model=seen.model,
                model_age=seen.model_age,
                training=self._crew.training(),
                listener=seen.listener,
                notes=tuple(self._crew.notes),
                footer=footer,
            )
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _by_topic(offsets: Mapping[tuple[str, int], int]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for (topic, _), offset in offsets.items():
        totals[topic] = totals.get(topic, 0) + offset
    return totals
