"""What the routes of one API process share."""

from dataclasses import dataclass, field

from starlette.requests import Request

from encore.settings import Settings
from serving.access import Access
from serving.cache import Cache
from serving.contract import Intake
from serving.health import Health
from serving.journal import Journal
from serving.measures import Measures
from serving.models import Models
from serving.published import Published
from serving.reader import Reader
from serving.writer import Writer


@dataclass(frozen=True)
class Parts:
    """The parts, made once for a process."""

    settings: Settings
    database_url: str = field(repr=False)
    reader: Reader
    access: Access
    measures: Measures
    health: Health
    writer: Writer
    journal: Journal
    cache: Cache | None
    published: Published
    models: Models
    events: Intake
    items: Intake
    users: Intake


def parts_of(request: Request) -> Parts:
    """Return the parts of the process that a request came to."""
    parts: Parts = request.app.state.parts
    return parts
