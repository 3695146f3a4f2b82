"""One run: records to a sink at their time, ending cleanly on Ctrl-C or SIGTERM."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from encore.errors import DeliveryError
from encore.log import get_logger
from producer.pacing import Pacer
from producer.progress import Report
from producer.publishing import Sink
from producer.records import RecordBlock
from producer.tally import Tally

log = get_logger("producer")


class Stop:
    """Whether to stop: asked once, finish what was sent; asked twice, give that up too."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._asked = 0

    def ask(self) -> None:
        """Ask to stop."""
        self._asked += 1
        self._event.set()

    def asked(self) -> bool:
        """Return whether to make no more records."""
        return self._event.is_set()

    def insisted(self) -> bool:
        """Return whether not to wait for acknowledgements either."""
        return self._asked > 1

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until asked to stop."""
        return self._event.wait(seconds)


@contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Yield a stop that SIGINT and SIGTERM ask for, and restore their handlers afterwards."""
    stop = Stop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.ask()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run(
    blocks: Iterable[RecordBlock],
    sink: Sink,
    stop: Stop,
    report: Report,
    clock: Callable[[], float] = time.time,
) -> Tally:
    """Send every block to the sink until they end or a stop is asked for, then drain the sink."""

    def idle() -> None:
        sink.poll()
        report(sink.tally)

    pacer = Pacer(clock, stop.wait, stop.asked, idle)
    try:
        for block in blocks:
            for part in pacer.slices(block):
                sink.send(part)
                report(sink.tally)
            if stop.asked():
                log.info("stopping: waiting for acknowledgements, once more to give them up")
                break
    finally:
        sink.close(stop.insisted)
    return sink.tally


def check_delivered(tally: Tally) -> None:
    """Raise an error with the count of the records that were not delivered, if there are any.

    Raises:
        DeliveryError: not everything sent was acknowledged.
    """
    lost = tally.failed.total()
    if lost:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(tally.failed.items()))
        raise DeliveryError(
            f"{lost} of {tally.sent.total()} records could not be delivered ({reasons}). "
            "Check the broker with `encore status`, then send them again: repeated events are "
            "dropped by their id."
        )
