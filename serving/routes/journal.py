"""The log of writes, for those who administer the keys."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from serving.access import ADMINISTERS
from serving.parameters import Count
from serving.parts import parts_of
from serving.reader import plain
from serving.rendering import answer
from serving.schemas import Writes

router = APIRouter(tags=["administration"], dependencies=[ADMINISTERS])

_WRITES: Final = """
SELECT w.write_id, w.called_at, w.key_id, k.name AS key_name, w.method, w.path, w.status, w.records
  FROM api_writes AS w LEFT JOIN api_keys AS k USING (key_id)
 WHERE $2::bigint IS NULL OR w.write_id < $2
 ORDER BY w.write_id DESC LIMIT $1
"""


@router.get("/writes", response_model=Writes)
async def writes(
    request: Request,
    n: Count = 100,
    before: Annotated[
        int | None,
        Query(description="`next` of the answer before: goes on behind it.", ge=1, le=2**63 - 1),
    ] = None,
) -> Response:
    """Say which calls wrote, by which key, and what became of them: the newest first."""
    rows = plain(await parts_of(request).reader.rows(_WRITES, n + 1, before))
    more = len(rows) > n
    return answer({"writes": rows[:n], "next": rows[n - 1]["write_id"] if more else None})
