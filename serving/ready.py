"""Ready answers before anything else is done: a request that Redis can answer goes no further.

Looked up is what was asked, byte by byte: there is only something if that very question was held
to all rules before, and answered by a route that says :func:`keep`. So nothing but the key has to
be looked at again.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from encore.cache import item_key, user_key
from serving.access import Access
from serving.cache import Cache
from serving.measures import Measures
from serving.problems import ProblemError, response
from serving.published import Published

_RECOMMEND: Final = "/recommend/"
_ITEMS: Final = "/items/"
_SIMILAR: Final = "/similar"
_JSON: Final = (b"content-type", b"application/json")


def keep(request: Request) -> None:
    """Let the answer to a request be kept: it follows from user, run and what was asked alone."""
    request.state.keep = True


@dataclass(frozen=True, slots=True)
class _Route:
    path: str  # what the measures count by: as the router has it, so that hits count with misses


_LIST: Final = _Route(f"{_RECOMMEND}{{user}}")
_CARD: Final = _Route(f"{_ITEMS}{{item_id}}")
_SIMILAR_TO: Final = _Route(f"{_CARD.path}{_SIMILAR}")


@dataclass(frozen=True, slots=True)
class _Place:
    route: _Route
    key: str


class Ready:
    """Answers from Redis what it can, and keeps there what routes let it keep."""

    def __init__(
        self,
        app: ASGIApp,
        prefix: str,
        cache: Cache,
        access: Access,
        published: Published,
        measures: Measures,
    ) -> None:
        """Take what is inside, and what is asked on the way."""
        self._app = app
        self._cache = cache
        self._access = access
        self._published = published
        self._measures = measures
        self._recommend, self._items = prefix + _RECOMMEND, prefix + _ITEMS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        place = self._place(scope) if scope["type"] == "http" else None
        run = self._published.run
        if place is None or run is None:
            await self._app(scope, receive, send)
            return
        if not self._cache.up:
            self._measures.cache("away")
            await self._app(scope, receive, send)
            return
        try:
            await self._access.caller_of(scope)
        except ProblemError as error:
            scope["route"] = place.route
            await response(error)(scope, receive, send)
            return
        asked = blake2b(scope["query_string"], digest_size=16).hexdigest()
        field = f"{run}:{place.route.path}:{asked}"
        body = await self._cache.look(place.key, field)
        if body is not None:
            self._measures.cache("hit")
            scope["route"] = place.route
            await _send(send, body)
            return
        self._measures.cache("miss" if self._cache.up else "away")
        lease = await self._cache.lease(place.key)
        answer = _Overheard(send)
        await self._app(scope, receive, answer.send)
        unmoved = run == self._published.run  # else it may be of the other state
        if lease is not None and answer.well and unmoved and scope["state"].get("keep"):
            await self._cache.keep(place.key, field, lease, b"".join(answer.body))

    def _place(self, scope: Scope) -> _Place | None:
        if scope["method"] != "GET":
            return None
        path: str = scope["path"]
        if path.startswith(self._recommend):
            user = path.removeprefix(self._recommend)
            found = _Place(_LIST, user_key(self._cache.space, user))
            return found if user and "/" not in user else None
        if not path.startswith(self._items):
            return None
        item, _, rest = path.removeprefix(self._items).partition("/")
        route = {"": _CARD, _SIMILAR[1:]: _SIMILAR_TO}.get(rest)
        return _Place(route, item_key(self._cache.space, item)) if item and route else None


class _Overheard:
    """What was sent to a caller."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.well = False
        self.body: list[bytes] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send on."""
        if message["type"] == "http.response.start":
            self.well = message["status"] == HTTPStatus.OK
        elif message["type"] == "http.response.body":
            self.body.append(message.get("body", b""))
        await self._send(message)


async def _send(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode()), _JSON]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
