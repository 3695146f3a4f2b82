"""What every request goes through: counted, timed, and its answer made safe to show."""

import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from encore.log import get_logger
from serving.journal import Journal
from serving.measures import Measures
from serving.page import HEADERS as _OF_PAGE
from serving.page import is_of_page
from serving.problems import ProblemError, response

log = get_logger("serving")

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_BROKEN: Final = ProblemError(
    HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed for a reason that is in the server's log"
)


class Gate:
    """Counts requests, adds the headers of security, and keeps what breaks inside."""

    def __init__(self, app: ASGIApp, measures: Measures, journal: Journal) -> None:
        """Take what is inside."""
        self._app = app
        self._measures = measures
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        scope.setdefault("state", {})
        safe = _OF_PAGE if is_of_page(scope["path"]) else _HEADERS

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *safe]
            await send(message)

        began = time.perf_counter()
        self._measures.begin()
        try:
            await self._app(scope, receive, send_on)
        except Exception:
            log.exception("a request failed", method=scope["method"], route=_route(scope))
            if not status:
                await response(_BROKEN)(scope, receive, send_on)
        finally:
            seconds = time.perf_counter() - began
            self._measures.end(_method(scope), _route(scope), status, seconds)
            self._log_write(scope, status)

    def _log_write(self, scope: Scope, status: int) -> None:
        state = scope["state"]
        if state.get("writes"):
            records = state.get("records", 0)
            path = state.get("path", scope["path"])
            self._journal.note(state["caller"].key_id, scope["method"], path, status, records)


def _route(scope: Scope) -> str:
    # Never the path itself: every id would be a series of its own.
    return str(getattr(scope.get("route"), "path", "none"))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
