"""When a record is published: as soon as its time has come, never before."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from producer.records import RecordBlock

SLICE: Final = 500
_SHORTEST_WAIT_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 0.1


class Pacer:
    """Cuts blocks into slices that are due.

    ``clock`` gives epoch seconds; ``wait`` sleeps for at most so many seconds; ``stopped`` ends
    everything early; ``idle`` is called while there is nothing to send.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        wait: Callable[[float], object],
        stopped: Callable[[], bool],
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._wait = wait
        self._stopped = stopped
        self._idle = idle

    def slices(self, block: RecordBlock) -> Iterator[RecordBlock]:
        """Yield the block's records in order, live ones when they are due, until stopped."""
        position = 0
        while position < len(block) and not self._stopped():
            stop = min(position + SLICE, self._ready(block))
            if stop > position:
                yield block.part(position, stop)
                position = stop
            else:
                self._idle()
                self._wait(self._seconds_until(int(block.due[position])))

    def _ready(self, block: RecordBlock) -> int:
        if not block.live:
            return len(block)
        return int(np.searchsorted(block.due, self._clock() * 1000, side="right"))

    def _seconds_until(self, due_ms: int) -> float:
        left = due_ms / 1000 - self._clock()
        return min(max(left, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
