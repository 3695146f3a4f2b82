"""What the routes of one API process share."""

from dataclasses import dataclass, field

from starlette.requests import Request

from encore.settings import Settings
from serving.access import Access
from serving.cache import Cache
from serving.cards import Cards
from serving.contract import Intake
from serving.health import Health
from serving.journal import Journal
from serving.measures import Measures
from serving.models import Models
from serving.published import Published
from serving.pulse import Pulse
from serving.reader import Reader
from serving.watching import Watching
from serving.writer import Writer


@dataclass(frozen=True)
class Parts:
    """The parts, made once for a process."""

    settings: Settings
    database_url: str = field(repr=False)
    kafka: str
    reader: Reader
    cards: Cards
    access: Access
    measures: Measures
    health: Health
    writer: Writer
    journal: Journal
    cache: Cache | None
    published: Published
    models: Models
    pulse: Pulse
    watching: Watching
    events: Intake
    items: Intake
    users: Intake

    async def end_streams(self) -> None:
        """End the answers that would go on for ever, so that the process can end."""
        await self.pulse.broadcast.end()
        await self.watching.end()


def parts_of(request: Request) -> Parts:
    """Return the parts of the process that a request came to."""
    parts: Parts = request.app.state.parts
    return parts
