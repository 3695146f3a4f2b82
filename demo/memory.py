"""What the demo remembers, so that a second start goes on where the first stopped."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from encore.errors import EncoreError
from encore.spans import parse_span
from encore.stack.state import write_atomically

# Of the live plays so many begin with a look at the listener's recommendations.
FROM_LISTS: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Who listens to what, and how much of it: fixed for as long as the data live.

    ``rate`` is live events a second: what two cores hold with Spark and a training beside it.
    """

    users: int = 5_000
    tracks: int = 20_000
    history: str = "14d"
    seed: int = 7
    rate: float = 200.0

    def __post_init__(self) -> None:
        parse_span(self.history)


@dataclass(frozen=True, slots=True)
class Memory:
    """Which part of the world's events has been sent, in ms since 1970-01-01 UTC.

    ``topic_id`` is Kafka's id of the events topic: with another one, nothing has been sent.
    ``away`` are the spans in which no live events were produced; the first begins where the
    history ends. ``stopped_ms`` is when live producing last ended, None if nobody saw it end.
    """

    topic_id: str
    world: World
    live_from_ms: int
    history_sent: bool = False
    away: tuple[tuple[int, int], ...] = ()
    stopped_ms: int | None = None

    def resumed(self, now_ms: int) -> "Memory":
        """Return the memory of a demo that produces live from now on.

        If nobody saw the last run end, it may have produced until now.
        """
        if self.away:
            latest = self.away[-1][1]
            begin = max(latest, min(self.stopped_ms or now_ms, now_ms))
        else:
            begin = self.live_from_ms
        return replace(self, away=(*self.away, (begin, max(begin, now_ms))), stopped_ms=None)

    def history_arguments(self) -> list[str]:
        """Return the arguments of ``encore`` that send the history and end."""
        return [*self._arguments(), "--until", str(self.live_from_ms)]

    def live_arguments(self) -> list[str]:
        """Return the arguments of ``encore`` that produce live from the end of the last span."""
        spans = [f"{begin}/{end}" for begin, end in self.away]
        away = (word for span in spans for word in ("--away", span))
        return [*self._arguments(), "--from-lists", str(FROM_LISTS), *away]

    def _arguments(self) -> list[str]:
        words = ["produce", "--quiet", "--live-from", str(self.live_from_ms)]
        for one in fields(self.world):
            words += [f"--{one.name}", str(getattr(self.world, one.name))]
        return words


def choose_world(asked: dict[str, Any], remembered: World | None) -> World:
    """Return the world to show: the remembered one, else what was asked for, else the defaults.

    Raises:
        EncoreError: another world is asked for than the data are of.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if remembered is None:
        return World(**given)
    for name, value in given.items():
        if getattr(remembered, name) != value:
            raise EncoreError(
                f"--{name} {value}, but the demo's data were made with "
                f"--{name} {getattr(remembered, name)}. Leave it out to go on with them, "
                "or begin anew with --fresh."
            )
    return remembered


def load(path: Path) -> Memory | None:
    """Return what is remembered, or None where there is nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        world = World(**found.pop("world"))
        away = tuple((int(begin), int(end)) for begin, end in found.pop("away"))
        return Memory(world=world, away=away, **found)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(path: Path, memory: Memory) -> None:
    """Remember."""
    write_atomically(path, json.dumps(asdict(memory), indent=2) + "\n", mode=0o644)
