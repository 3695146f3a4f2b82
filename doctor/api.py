"""The API as the doctor sees it: whether it is well, and when it shows a new list."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

from database.journey import Hop, Stopped
from doctor.finding import Finding
from encore.settings import Settings

ANSWERED: Final = "answered by the API"
_NAME: Final = "API"
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound: translated)
_TIMEOUT_SECONDS: Final = 10.0
_EVERY_SECONDS: Final = 0.02


class _AwayError(Exception):
    """Nobody answers, or not as an API does."""


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API is, and a key for it; without one it is asked for its health alone."""

    url: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Api | None":
        """Return the one that the settings name, or none where its port is a free one."""
        key = settings.doctor_api_key.get_secret_value()
        if settings.doctor_api_url:
            return cls(settings.doctor_api_url.rstrip("/"), key)
        if not settings.serve_port:
            return None
        host = _ANYWHERE.get(settings.serve_host, settings.serve_host)
        where = f"[{host}]" if ":" in host else host
        return cls(f"http://{where}:{settings.serve_port}", key)

    def finding(self) -> Finding:
        """Return whether it is well. Nothing depends on it, so that none need be there."""
        try:
            status, body = self._get("/health/ready")
        except _AwayError as error:
            return Finding(_NAME, well=True, seen=f"none at {self.url} ({error}): it is not asked")
        parts = ", ".join(f"{name} {word}" for name, word in body.get("parts", {}).items())
        advice = "Its log says why: it goes on by itself when what it misses is back."
        asked = "" if self.key else "; set DOCTOR_API_KEY (`encore keys make`) to follow the event"
        return Finding(_NAME, status == HTTPStatus.OK, f"{self.url}: {parts}{asked}", advice)

    def followed(
        self,
        user_id: str,
        list_before: datetime | None,
        hop_seconds: float,
        elapsed: Callable[[], float],
    ) -> Hop | Stopped | None:
        """Wait until it shows a list newer than ``list_before``; None where it cannot be asked."""
        deadline = time.monotonic() + hop_seconds
        while self.key:
            began = time.monotonic()
            try:
                status, body = self._get(f"/recommend/{quote(user_id, safe='')}")
            except _AwayError:
                return None
            if status != HTTPStatus.OK:
                return Stopped(
                    ANSWERED, f"{status} {body.get('detail', '')}".strip(),
                    "DOCTOR_API_KEY needs a key of the database that the API reads: "
                    "`encore keys make doctor`.",
                )  # fmt: skip
            if _is_newer(body, list_before):
                took_ms = (time.monotonic() - began) * 1000
                shown = f"{len(body['recommendations'])} items in {took_ms:.0f} ms"
                return Hop(ANSWERED, elapsed(), shown)
            if time.monotonic() > deadline:
                return Stopped(
                    ANSWERED, f"still the list of before after {hop_seconds:g} s",
                    f"Does {self.url} read this database? Where it keeps answers in Redis, "
                    "`encore live` needs the same REDIS_URL to have them forgotten.",
                )  # fmt: skip
            time.sleep(_EVERY_SECONDS)
        return None

    def _get(self, path: str) -> tuple[int, Mapping[str, Any]]:
        place = urlsplit(self.url)
        kind = HTTPSConnection if place.scheme == "https" else HTTPConnection
        connection = kind(place.netloc, timeout=_TIMEOUT_SECONDS)
        try:
            headers = {"X-API-Key": self.key} if self.key else {}
            connection.request("GET", f"{place.path}/api/v1{path}", headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise _AwayError(getattr(error, "strerror", None) or type(error).__name__) from None
        finally:
            connection.close()


def _is_newer(body: Mapping[str, Any], list_before: datetime | None) -> bool:
    if body["made_by"] != "live":
        return False
    return list_before is None or datetime.fromisoformat(body["made_at"]) > list_before
