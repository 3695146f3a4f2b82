"""Rejected records: why, what is in them, and to Kafka again."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from psycopg2 import extensions
from starlette.responses import Response

from database.engine import connect
from database.rejected.chosen import ByPlaces
from database.rejected.compose import Record
from database.rejected.contract import rule_of
from database.rejected.edits import Edits
from database.rejected.places import Place
from database.rejected.readable import readable, readable_bytes
from database.rejected.replay import ByFilters, Meant, Replay, Selection
from database.rejected.rows import Filters
from database.rejected.sending import Delivered, check_topics, sender
from encore.errors import EncoreError
from encore.events import MAX_ID_LENGTH, Reason
from serving.access import ADMINISTERS, READS
from serving.administering import CONFLICT, administer
from serving.asks import BODY_PROBLEMS, ReplayAsk, read, shown
from serving.insights import RejectedPage, RejectedReasons, Replayed
from serving.parameters import Count, Offset
from serving.parts import Parts, parts_of
from serving.problems import bad_request
from serving.reader import APPLICATION_NAME, plain
from serving.rendering import answer

router = APIRouter(tags=["data"])

_SHOWN_BYTES: Final = 4_096
_COUNTED: Final = 10_000
_RECORDS: Final = f"""
SELECT r.topic, r.topic_id, r.partition, r."offset", r.reason, r.field,
       substring(r.key FOR {_SHOWN_BYTES}) AS key, substring(r.raw FOR {_SHOWN_BYTES}) AS value,
       coalesce(octet_length(r.raw), 0) AS bytes, r.arrived_at, r.rejected_at, r.replayed_at,
       r.replayed_to
  FROM rejected_events AS r
 WHERE ($3::text IS NULL OR r.reason = $3) AND ($4::text IS NULL OR r.field = $4)
   AND ($5::text IS NULL OR r.topic = $5) AND ($6 OR r.replayed_at IS NULL)
 ORDER BY r.rejected_at DESC, r.topic, r.topic_id, r.partition, r."offset" LIMIT $1 OFFSET $2
"""  # noqa: S608 (of constants, as is the one below)
_REASONS: Final = f"""
SELECT r.topic, r.reason, r.field, count(*) AS records, min(r.arrived_at) AS first_at,
       max(r.arrived_at) AS last_at
  FROM (SELECT * FROM rejected_events WHERE replayed_at IS NULL
         ORDER BY rejected_at DESC LIMIT {_COUNTED}) AS r
 GROUP BY r.topic, r.reason, r.field ORDER BY count(*) DESC, r.topic, r.reason, r.field
"""  # noqa: S608

OfField = Annotated[
    str | None,
    Query(description="Only about this field.", max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]*$"),
]
OfTopic = Annotated[
    str | None,
    Query(description="Only of this topic.", max_length=249, pattern=r"^[^\x00]*$"),
]


@router.get("/rejected", response_model=RejectedPage, dependencies=[READS])
async def rejected(
    request: Request,
    reason: Annotated[Reason | None, Query(description="Only with this reason.")] = None,
    field: OfField = None,
    topic: OfTopic = None,
    replayed: Annotated[
        bool, Query(description="Whether those that were sent again are shown as well.")
    ] = False,
    n: Count = 20,
    offset: Offset = 0,
) -> Response:
    """Show records that break the contract, the newest first: why, and what is in them.

    Keys and values are escaped: nothing in them is a control character, or no UTF-8.
    """
    chosen = (reason.value if reason else None, field, topic, replayed)
    rows = plain(await parts_of(request).reader.rows(_RECORDS, n + 1, offset, *chosen))
    records = [_record(row) for row in rows[:n]]
    return answer({"records": records, "offset": offset, "more": len(rows) > n})


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    place = Place(row["topic"], row["topic_id"], row["partition"], row["offset"])
    readable_field = None if row["field"] is None else readable(row["field"])
    bytes_of = {
        name: None if row[name] is None else readable_bytes(row[name]) for name in ("key", "value")
    }
    rule = readable(rule_of(row["topic"], row["field"]))
    return {"place": str(place), **row, "field": readable_field, "rule": rule, **bytes_of}


@router.get("/rejected/reasons", response_model=RejectedReasons, dependencies=[READS])
async def reasons(request: Request) -> Response:
    """Count by topic, reason and field the records that were rejected and not sent again."""
    rows = plain(await parts_of(request).reader.rows(_REASONS))
    for row in rows:
        row["rule"] = readable(rule_of(row["topic"], row["field"]))
    counted = sum(row["records"] for row in rows)
    return answer({"counted": counted, "all": counted < _COUNTED, "reasons": rows})


@router.post(
    "/rejected/replay",
    response_model=Replayed,
    responses={**BODY_PROBLEMS, **CONFLICT},
    openapi_extra=shown(ReplayAsk),
    dependencies=[ADMINISTERS],
)
async def replay(request: Request) -> Response:
    """Send rejected records to their topic again, as they were or edited, each once.

    By the rules of `encore rejected replay`: what Kafka acknowledged is marked, and not sent a
    second time.
    """
    ask, parts = await read(request, ReplayAsk), parts_of(request)
    selection = _selection(ask)
    told = await administer(parts, partial(_replay, parts=parts, ask=ask, selection=selection))
    request.state.records = told["acknowledged"]
    return answer(told)


def _replay(url: str, parts: Parts, ask: ReplayAsk, selection: Selection) -> dict[str, Any]:
    edits = Edits(ask.values, frozenset(ask.drop))
    with closing(connect(url, application_name=APPLICATION_NAME)) as connection:
        with connection, connection.cursor() as cursor:
            meant = selection.meant(cursor)
        edits.check(meant.names, meant.waiting)
        if ask.dry_run or not meant.waiting:
            return _rehearse(connection, selection, edits, meant, dry_run=ask.dry_run)
        check_topics(parts.kafka, meant.topics)
        with sender(parts.kafka, parts.settings.serve_delivery_seconds) as kafka:
            tally = Replay(connection, selection, edits, kafka.deliver).run(meant)
    return {"dry_run": False, "would_send": 0, **tally.as_dict()}


def _rehearse(
    connection: extensions.connection,
    selection: Selection,
    edits: Edits,
    meant: Meant,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    would_send = 0

    def count(records: Sequence[Record]) -> Delivered:
        nonlocal would_send
        would_send += len(records)
        return Delivered()

    tally = Replay(connection, selection, edits, count).run(meant)
    return {"dry_run": dry_run, "would_send": would_send, **tally.as_dict()}


def _selection(ask: ReplayAsk) -> Selection:
    if ask.places:
        try:
            return ByPlaces([Place.parse(text) for text in ask.places])
        except EncoreError as error:
            raise bad_request("places", str(error)) from None
    reason = ask.reason.value if ask.reason else None
    return ByFilters(Filters(reason, ask.field, ask.topic), ask.limit)
