"""Users who are deleted: their tombstone erases all that names them, and not only their row.

It is done in the transaction that counts the tombstone, under the lock that each batch of events
takes to be counted. Events that were in Kafka by then and are not counted yet are erased by the
batches that count them, in the same transaction: nobody ever sees them. From there on the user
counts like any other. ``erasures.upto`` says where that is, so that `encore verify` and `encore
rebuild` leave out the same events.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import extensions, sql

from encore.topics import end_offsets, topic_ids
from streaming.sink.merge import Staged

# At the end of every merge of events, once their offsets have moved.
FINISH: Final = "SELECT finish_erasures(%s, %s)"
# At the end of every merge of a rebuild: impressions are counted, and not kept.
FORGET_IMPRESSIONS: Final = """
DELETE FROM impressions AS i USING erasures AS e
 WHERE %s <> '' AND e.topic_id = %s AND e.digest = user_digest(i.user_id)
   AND i."offset" < (e.upto ->> i.partition::text)::bigint
"""
# By the hex of a user's digest: the offset of each partition before which nothing of them counts.
Erased = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True)
class Erasing:
    """Deletes the users of staged tombstones, with all that the events topic says of them."""

    bootstrap: str
    events: str
    name: str = "user_deletions"
    like: str = "users"
    columns: Sequence[str] = ("user_id",)
    extra: Mapping[str, str] = field(default_factory=dict)

    def merge(self, cursor: extensions.cursor, staged: Staged) -> None:
        """Erase them.

        Raises:
            ServiceUnavailableError: Kafka does not answer where its partitions end.
        """
        cursor.execute(sql.SQL("SELECT DISTINCT user_id {} ORDER BY user_id").format(staged.rows()))
        user_ids = [row[0] for row in cursor.fetchall()]
        if not user_ids:
            return
        topic_id = topic_ids(self.bootstrap, [self.events])[self.events]
        ends = {part: end for (_, part), end in end_offsets(self.bootstrap, [self.events]).items()}
        for user_id in user_ids:
            cursor.execute("DELETE FROM users WHERE user_id = %s", (user_id,))
            cursor.execute(
                "SELECT begin_erasure(%s, %s, %s, %s)",
                (user_id, self.events, topic_id, json.dumps(ends)),
            )


def read_erased(cursor: extensions.cursor, topic_id: str) -> dict[str, dict[int, int]]:
    """Return the erased users of whom every event to be erased was counted."""
    cursor.execute(
        "SELECT encode(digest, 'hex'), upto FROM erasures WHERE upto IS NOT NULL AND topic_id = %s",
        (topic_id,),
    )
    return {
        digest: {int(part): int(end) for part, end in upto.items()}
        for digest, upto in cursor.fetchall()
    }


def without(events: pa.Table, erased: Erased) -> pa.Table:
    """Leave out the events of erased users; ``events`` have user_id, partition and offset."""
    if not erased or not events.num_rows:
        return events
    users = events.column("user_id").combine_chunks().dictionary_encode()
    known = {
        number: ends
        for number, user in enumerate(users.dictionary.to_pylist())
        if (ends := erased.get(hashlib.sha256(user.encode()).hexdigest())) is not None
    }
    if not known:
        return events
    counts = np.ones(events.num_rows, bool)
    partitions = events.column("partition").to_numpy()
    offsets = events.column("offset").to_numpy()
    for number, ends in known.items():
        mine = pc.equal(users.indices, number).to_numpy(zero_copy_only=False)
        for partition, end in ends.items():
            counts &= ~(mine & (partitions == partition) & (offsets < end))
    return events.filter(pa.array(counts))
