"""What is to be produced: every argument that decides the bytes of the stream."""

from dataclasses import dataclass
from typing import Final

from encore.errors import EncoreError
from encore.events import LATEST_TS

EPOCH_2020_MS: Final = 1_577_836_800_000
_LATEST_MS: Final = LATEST_TS - 366 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A stream of records: the same plan gives the same bytes.

    Times are epoch ms, ``history_ms`` is a span. ``rate`` is event records a second once live.
    ``late``, ``duplicates`` and ``malformed`` are shares of the events. ``until_ms`` and
    ``max_events`` end the stream; without them it is endless. ``history_events`` scales the
    listeners' activity so that the history holds about that many. ``away`` are spans of the live
    time (begin, end) in which nobody produced: nothing happens in them, and what was due before
    the end of the last one has been sent by an earlier run. ``from_lists`` is the share of live
    plays that begin with a look at the listener's recommendations, where these are read.
    """

    live_from_ms: int
    history_ms: int
    seed: int = 7
    users: int = 5_000
    tracks: int = 20_000
    rate: float = 500.0
    late: float = 0.01
    duplicates: float = 0.005
    malformed: float = 0.001
    until_ms: int | None = None
    max_events: int | None = None
    history_events: int | None = None
    away: tuple[tuple[int, int], ...] = ()
    from_lists: float = 0.0

    def __post_init__(self) -> None:
        _at_least("--users", self.users, 1)
        _at_least("--tracks", self.tracks, 1)
        _at_least("--seed", self.seed, 0)
        _at_least("--history", self.history_ms, 0)
        if not 0 < self.rate <= 1_000_000:
            raise EncoreError(f"--rate {self.rate} is not allowed: more than 0, at most 1000000.")
        for name in ("late", "duplicates", "malformed"):
            share = getattr(self, name)
            if not 0 <= share <= 0.5:
                raise EncoreError(f"--{name} {share} is not allowed: a share from 0 to 0.5.")
        if not 0 <= self.from_lists <= 1:
            raise EncoreError(
                f"--from-lists {self.from_lists} is not allowed: a share from 0 to 1."
            )
        for name in ("max_events", "history_events"):
            if getattr(self, name) is not None:
                _at_least(f"--{name.replace('_', '-')}", getattr(self, name), 1)
        if not EPOCH_2020_MS <= self.begin_ms <= self.live_from_ms <= _LATEST_MS:
            raise EncoreError("The time axis must lie between 2020 and 2099.")
        moments = [self.live_from_ms, *(moment for span in self.away for moment in span)]
        if moments != sorted(moments):
            raise EncoreError("--away spans must follow each other, from the live time on.")

    @property
    def begin_ms(self) -> int:
        """Return the first moment of the history."""
        return self.live_from_ms - self.history_ms

    @property
    def identity(self) -> str:
        """Return what tells this stream's events from those of any other plan.

        The end and the spans away are left out, so that a longer run begins with the same events,
        and so are the plays from lists, which no plan can tell.
        """
        return "|".join(
            str(part)
            for part in (
                self.seed, self.users, self.tracks, self.live_from_ms, self.history_ms, self.rate,
                self.late, self.duplicates, self.malformed, self.history_events,
            )
        )  # fmt: skip


def seconds_since_2020(moment_ms: int) -> int:
    """Return what the number of a first visit at a moment is."""
    return (moment_ms - EPOCH_2020_MS) // 1000


def _at_least(flag: str, value: int, least: int) -> None:
    if value < least:
        raise EncoreError(f"{flag} {value} is not allowed: at least {least}.")
