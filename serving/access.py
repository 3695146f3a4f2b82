"""Who calls, what they may do, and how often: asked before anything else of a request."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import Depends, Request
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.types import Scope

from serving.keys import Role, same, split
from serving.limits import Limiter
from serving.problems import RETRY_SECONDS, ProblemError
from serving.reader import Reader

_MOST_KEPT: Final = 10_000
_FIND: Final = "SELECT role, digest FROM api_keys WHERE key_id = $1 AND revoked_at IS NULL"

_SCHEME: Final = "key"
_BEARER: Final = "bearer"
_BEARER_MODEL: Final = {
    "type": "http",
    "description": "The same key as a bearer token",
    "scheme": "bearer",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a request came with."""

    key_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Known:
    role: Role | None  # None: nobody has such a key, or not any more
    digest: bytes
    until: float


class Access:
    """Keys as PostgreSQL knows them, remembered for ``key_seconds``.

    Each may have ``most_streams`` answers that go on at a time; 0: any number.
    """

    def __init__(
        self, reader: Reader, limiter: Limiter, key_seconds: float, most_streams: int
    ) -> None:
        """Take where keys are, and what is allowed to them."""
        self._reader = reader
        self._limiter = limiter
        self._key_seconds = key_seconds
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._most_streams = most_streams
        self._going_on: Counter[str] = Counter()

    async def caller_of(self, scope: Scope) -> Caller:
        """Return whose key a request came with, and note it for what comes after.

        Raises:
            ProblemError: as :meth:`caller` says.
        """
        client = scope.get("client")
        address = client[0] if client else ""
        caller = await self.caller(key_of(Headers(scope=scope)), address)
        scope["state"]["caller"] = caller
        return caller

    async def caller(self, text: str | None, address: str) -> Caller:
        """Return who a key belongs to.

        Raises:
            ProblemError: there is no such key (401), it comes too often (429), or PostgreSQL, which
                would know, is away (503).
        """
        parts = split(text) if text else None
        if parts is None:
            self._limit(f"address {address}")
            raise _unknown(given=bool(text))
        key_id, secret = parts
        known = await self._find(key_id)
        if known.role is None or not same(secret, known.digest):
            self._limit(f"address {address}")
            raise _unknown(given=True)
        self._limit(key_id)
        return Caller(key_id, known.role)

    @asynccontextmanager
    async def going_on(self, caller: Caller) -> AsyncIterator[None]:
        """Count an answer that goes on, for as long as it does."""
        self._going_on[caller.key_id] += 1
        try:
            yield
        finally:
            self._going_on[caller.key_id] -= 1
            self._going_on += Counter()  # forgets who has none

    def one_more(self, caller: Caller) -> None:
        """Let a key have another answer that goes on.

        Raises:
            ProblemError: it has as many as one may have (429).
        """
        if self._most_streams and self._going_on[caller.key_id] >= self._most_streams:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the key has {self._most_streams} streams open, which is all that "
                "SERVE_STREAMS_PER_KEY allows: end one first",
                retry_after=RETRY_SECONDS,
            )

    async def still_counts(self, caller: Caller) -> None:
        """Let an answer go on that began with a key.

        Raises:
            ProblemError: the key was revoked meanwhile (401).
        """
        if (await self._find(caller.key_id)).role is None:
            raise _unknown(given=True)

    async def _find(self, key_id: str) -> _Known:
        now = time.monotonic()
        known = self._known.get(key_id)
        if known is not None and now < known.until:
            return known
        try:
            row = await self._reader.row(_FIND, key_id)
        except ProblemError:
            # While PostgreSQL is away nobody can revoke a key either: what was known counts on.
            if known is None:
                raise
            return known
        role, digest = (Role(row["role"]), row["digest"]) if row else (None, b"")
        known = _Known(role, digest, now + self._key_seconds)
        self._known[key_id] = known
        if len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
        return known

    def _limit(self, who: str) -> None:
        wait = self._limiter.wait_seconds(who, time.monotonic())
        if wait:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "more requests than SERVE_RATE_PER_SECOND allows",
                retry_after=math.ceil(wait),
            )


def _unknown(*, given: bool) -> ProblemError:
    said = "the key is unknown or revoked" if given else "a key is needed"
    return ProblemError(
        HTTPStatus.UNAUTHORIZED, f"{said}: send X-API-Key, or Authorization: Bearer"
    )


def key_of(headers: Headers) -> str | None:
    """Return the key that a request came with, if any."""
    key = headers.get("x-api-key")
    if key:
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class Needs(SecurityBase):
    """Lets a request pass whose key has at least a role, and notes the key for the log.

    One dependency and not one for each way to send a key: each costs as much as the answer.
    :func:`tell_ways` tells the OpenAPI document of the other one.
    """

    def __init__(self, role: Role) -> None:
        """Take the role."""
        self.scheme_name = _SCHEME
        self.model = APIKey.model_validate(
            {
                "in": APIKeyIn.header,
                "name": "X-API-Key",
                "description": "A key of `encore keys make`",
            }
        )
        self._role = role

    async def __call__(self, request: Request) -> Caller:
        """Return who calls.

        Raises:
            ProblemError: the key does not count (401), may not do this (403), or comes too often
                (429).
        """
        scope = request.scope
        state: dict[str, Any] = scope["state"]
        caller: Caller | None = state.get("caller")  # asked on the way here
        if caller is None:
            access: Access = request.app.state.parts.access
            caller = await access.caller_of(scope)
        state["writes"] = scope["method"] not in ("GET", "HEAD") and self._role is not Role.READ
        _refuse_below(self._role, caller)
        return caller


def tell_ways(document: dict[str, Any]) -> None:
    """Say in an OpenAPI document that a key may come as a bearer token, too."""
    document["components"]["securitySchemes"][_BEARER] = _BEARER_MODEL
    for path in document["paths"].values():
        for operation in path.values():
            if operation.get("security"):
                operation["security"].append({_BEARER: []})


def require(request: Request, role: Role) -> None:
    """Let a request that writes by one of its parameters pass, whose key has at least a role.

    Raises:
        ProblemError: the key may not do this (403).
    """
    request.state.writes = True
    _refuse_below(role, request.state.caller)


def _refuse_below(role: Role, caller: Caller) -> None:
    if not caller.role.allows(role):
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            f"a key with the role {caller.role} may not do this: it takes {role}",
        )


READS = Depends(Needs(Role.READ))
WRITES = Depends(Needs(Role.WRITE))
ADMINISTERS = Depends(Needs(Role.ADMIN))
