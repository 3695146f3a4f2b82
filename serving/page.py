"""The dashboard: static files that talk to the API as any other client does."""

from pathlib import Path
from typing import Final

from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

FILES: Final = Path(__file__).parent / "web"
_BELOW: Final = "/web/"
# Scripts, styles and requests of its own place only: nothing of the page leaves the machine.
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-cache"),
)


def is_of_page(path: str) -> bool:
    """Tell whether a path is the page's, whose answers bear :data:`HEADERS`."""
    return path == "/" or path.startswith(_BELOW)


async def _index(_: object) -> FileResponse:
    return FileResponse(FILES / "index.html")


ROUTES: Final = [
    Route("/", _index, methods=["GET"], include_in_schema=False),
    Mount(_BELOW.rstrip("/"), StaticFiles(directory=FILES), name="web"),
]
