"""The demo's crew: stream, producers, trainings, live lists and API, watched while they work."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from demo.processes import Child, end, kill_marked
from encore.errors import EncoreError
from encore.log import get_logger

log = get_logger("demo")

TRAIN_EVERY_SECONDS: Final = 120.0
MOST_RESTARTS: Final = 3
PRODUCER_END_SECONDS: Final = 30.0
END_SECONDS: Final = 20.0


class Crew:
    """Starts and ends the processes of the demo. ``notes`` tell what went wrong on the way."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        self._stream: Child | None = None
        self._live: Child | None = None
        self._api: Child | None = None
        self._api_arguments: Sequence[str] = ()
        self._producer: Child | None = None
        self._training: Child | None = None
        self._training_since = 0.0
        self._train_at = 0.0
        self._trains_again = True
        self._restarts: Counter[str] = Counter()
        self._endless = False
        self._summaries: list[Path] = []
        self.trained = 0
        self.notes: list[str] = []

    # --- the stream, the live lists and the API -------------------------------------------

    def start_stream(self) -> None:
        """Start counting events into the tables."""
        self._stream = Child("stream", ["stream"], self._home)

    def stream_lines(self) -> str:
        """Return the end of the stream's log."""
        return self._stream.last_lines() if self._stream else ""

    def start_live_lists(self) -> None:
        """Start folding what listeners do into their lists."""
        self._live = Child("live", ["live"], self._home)

    def start_api(self, arguments: Sequence[str]) -> None:
        """Start answering over HTTP, the page among it."""
        self._api_arguments = arguments
        self._start_api()

    def _start_api(self) -> None:
        self._api = Child("serve", self._api_arguments, self._home)

    def _mind(self, child: Child | None, start: Callable[[], None]) -> None:
        code = child.exit_code() if child else None
        if child is None or code is None:
            return
        if self._restarts[child.name] == MOST_RESTARTS:
            raise _ended(child, code, f" for the {MOST_RESTARTS + 1}th time")
        self._restarts[child.name] += 1
        self.notes.append(
            f"encore {child.name} ended (exit code {code}) and was started again, "
            f"{self._restarts[child.name]} of {MOST_RESTARTS} times: see {child.log_file}"
        )
        start()

    # --- the producer ---------------------------------------------------------------------

    def start_producer(self, name: str, arguments: Sequence[str], *, endless: bool) -> None:
        """Start a producer; what it was acknowledged is in its summary."""
        self._endless = endless
        summary = self._home / "logs" / f"demo-{name}.json"
        summary.unlink(missing_ok=True)
        self._summaries.append(summary)
        self._producer = Child(name, [*arguments, "--json", str(summary)], self._home)

    def has_produced(self) -> bool:
        """Tell whether the producer came to its end.

        Raises:
            EncoreError: it failed.
        """
        code = self._producer.exit_code() if self._producer else 0
        if self._producer is not None and code:
            raise _ended(self._producer, code)
        return code == 0

    def end_producer(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Let the producer have everything acknowledged that it sent, and end."""
        if self._producer is not None:
            end([self._producer], PRODUCER_END_SECONDS, hurried)
            self._producer = None

    def acknowledged(self) -> dict[str, int]:
        """Return what Kafka acknowledged to the producers of this start, by topic."""
        total: Counter[str] = Counter()
        for path in self._summaries:
            if path.exists():
                total.update(json.loads(path.read_text(encoding="utf-8"))["acknowledged"])
        return dict(total)

    def _mind_producer(self) -> None:
        if self._producer is not None and self.has_produced():
            if self._endless:
                raise _ended(self._producer, 0)
            self._producer = None

    # --- trainings ------------------------------------------------------------------------

    def start_training(self) -> None:
        """Start a training; the next follows some time after it ended."""
        self._training = Child("train", ["train"], self._home)
        self._training_since = self._clock()

    def stop_trainings(self) -> None:
        """Start no more of them."""
        self._trains_again, self._train_at = False, 0.0

    def training(self) -> str:
        """Return what the recommender is doing."""
        now = self._clock()
        if self._training is not None:
            return f"for {now - self._training_since:.0f} s"
        return f"next in {max(self._train_at - now, 0):.0f} s" if self._train_at else ""

    def _mind_training(self) -> None:
        if self._training is None:
            if self._train_at and self._clock() >= self._train_at:
                self.start_training()
            return
        code = self._training.exit_code()
        if code is None:
            return
        if code and not self.trained:
            raise _ended(self._training, code)
        if code:
            self.notes.append(
                f"a training failed (exit code {code}), the last lists stay: "
                f"see {self._training.log_file}"
            )
        self.trained += code == 0
        self._training = None
        if self._trains_again:
            self._train_at = self._clock() + TRAIN_EVERY_SECONDS

    # --- all of them ----------------------------------------------------------------------

    def mind(self) -> None:
        """Look after everyone: start again what ended and should not, train when it is time.

        Raises:
            EncoreError: a process failed that the demo cannot do without.
        """
        self._mind(self._stream, self.start_stream)
        self._mind(self._live, self.start_live_lists)
        self._mind(self._api, self._start_api)
        self._mind_producer()
        self._mind_training()

    def end(self, hurried: Callable[[], bool]) -> None:
        """End every process, the producer first, and kill what does not end."""
        self.end_producer(hurried)
        crew = (self._training, self._live, self._stream, self._api)
        working = [child for child in crew if child is not None]
        self._training = self._live = self._stream = self._api = None
        end(working, END_SECONDS, hurried)
        killed = kill_marked(self._home)
        if killed:
            log.info("killed what had not ended", processes=killed)
        end(working, END_SECONDS, lambda: False)


def _ended(child: Child, code: int, times: str = "") -> EncoreError:
    return EncoreError(
        f"encore {child.name} ended with exit code {code}{times}. Its last lines: "
        f"{child.last_lines()} (log: {child.log_file})"
    )
