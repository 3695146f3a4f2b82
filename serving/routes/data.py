"""The data themselves: how large each table is, and what became of every record."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.access import READS
from serving.insights import Accounts, TableSizes
from serving.parameters import Count
from serving.parts import parts_of
from serving.reader import plain
from serving.rendering import answer

router = APIRouter(tags=["data"], dependencies=[READS])

# Counting rows would read the tables: these are what PostgreSQL keeps count of by itself. The size
# of the database is asked once and not for each table: it looks at every file, and until the next
# checkpoint there is one of each staging table that a batch has emptied.
TABLES: Final = """
SELECT c.relname AS "table", obj_description(c.oid, 'pg_class') AS meaning, s.rows, s.bytes,
       s.index_bytes, s.partitions,
       (SELECT pg_database_size(current_database())) AS database_bytes
  FROM pg_class AS c
 CROSS JOIN LATERAL (
    SELECT sum(coalesce(nullif(pg_stat_get_live_tuples(p.oid), 0),
                        nullif(p.reltuples, -1)))
             FILTER (WHERE p.relkind = 'r')::bigint AS rows,
           sum(pg_total_relation_size(p.oid))::bigint AS bytes,
           sum(pg_indexes_size(p.oid))::bigint AS index_bytes,
           count(*) FILTER (WHERE p.relispartition) AS partitions
      FROM pg_class AS p
     WHERE p.oid = c.oid OR p.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid)
 ) AS s
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NOT NULL
 ORDER BY s.bytes DESC, c.relname LIMIT $1
"""
_ACCOUNTS: Final = """
SELECT topic, partition, topic_id, first_offset, next_offset, gaps,
       next_offset - first_offset - gaps AS read, accepted, late, duplicate, rejected,
       next_offset - first_offset - gaps = accepted + duplicate + rejected AS closes,
       arrived_at, closed_at
  FROM stream_offsets ORDER BY topic, closed_at NULLS FIRST, partition
"""
_ADDED_UP: Final = ("read", "accepted", "late", "duplicate", "rejected")


@router.get("/data/tables", response_model=TableSizes)
async def tables(request: Request, n: Count = 100) -> Response:
    """Say how large each table is, the largest first, and about how many rows it has."""
    rows = plain(await parts_of(request).reader.rows(TABLES, n))
    sizes = [one.pop("database_bytes") for one in rows]
    return answer({"database_bytes": sizes[0] if sizes else 0, "tables": rows})


@router.get("/data/accounting", response_model=Accounts)
async def accounting(request: Request) -> Response:
    """Say what became of every record that was read: accepted, a duplicate, or rejected.

    These are the stream's own books, as of its last commit. `encore verify --accounting` holds them
    against Kafka.
    """
    rows = plain(await parts_of(request).reader.rows(_ACCOUNTS))
    topics = [_account(topic, list(found)) for topic, found in groupby(rows, itemgetter("topic"))]
    return answer({"closes": all(one["closes"] for one in topics), "topics": topics})


def _account(topic: str, partitions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "topic": topic,
        **{name: sum(one[name] for one in partitions) for name in _ADDED_UP},
        "closes": all(one["closes"] for one in partitions),
        "partitions": [
            {name: value for name, value in one.items() if name != "topic"} for one in partitions
        ],
    }
