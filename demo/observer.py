"""Look at Kafka and the database once a second, and make a snapshot's worth of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from kafka.errors import KafkaError
from psycopg2 import Error as DatabaseError
from psycopg2 import extensions

from database.engine import connect
from demo import queries
from demo.snapshot import Flow, Listener, Model, Outcome, Rates, TopicProgress, Trend
from encore.errors import ServiceUnavailableError
from encore.events import Topics
from encore.topics import end_offsets, topic_ids

LIST_ROWS: Final = 10
DETAILS_SECONDS: Final = 3.0
LISTENER_SECONDS: Final = 30.0
APPLICATION_NAME: Final = "encore demo"
UNREACHABLE: Final = (DatabaseError, KafkaError, ServiceUnavailableError, OSError)


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen. ``ends`` and ``counted`` are offsets by topic and partition."""

    ends: Mapping[tuple[str, int], int] = field(default_factory=dict)
    counted: Mapping[tuple[str, int], int] = field(default_factory=dict)
    progress: Mapping[str, TopicProgress] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)
    open_sessions: int = 0
    trending: tuple[Trend, ...] = ()
    model: Model | None = None
    model_age: float = 0.0
    recommends: bool = False
    listener: Listener | None = None

    def has_counted(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Tell whether every record before these offsets is in the tables."""
        return all(self.counted.get(where, 0) >= end for where, end in ends.items())


class Observer:
    """Keeps one connection to the database, and opens it again when it breaks."""

    def __init__(self, bootstrap: str, database: str, topics: Topics, listener: str | None) -> None:
        self._bootstrap = bootstrap
        self._database = database
        self._topics = topics
        self.topic_ids = topic_ids(bootstrap, topics.all())
        self._fixed_listener = listener
        self._listener = listener
        self._listener_since = float("-inf")
        self._details_at = float("-inf")
        self._rates = Rates()
        self._connection: extensions.connection | None = None
        self.last = Observation()

    def observe(self, at: float) -> Observation:
        """Look once; ``at`` is the moment in s. The details are looked at now and then.

        Raises:
            UNREACHABLE: Kafka or the database does not answer.
        """
        try:
            with self._cursor() as cursor:
                seen = self._offsets(cursor, at)
                if at - self._details_at >= DETAILS_SECONDS:
                    seen = self._details(cursor, at, seen)
                    self._details_at = at
        except DatabaseError:
            self.close()
            raise
        self.last = seen
        return seen

    def count_rows(self) -> dict[str, int]:
        """Return the rows of every table and view."""
        with self._cursor() as cursor:
            return queries.count_rows(cursor)

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what came of the recommendations that were shown."""
        with self._cursor() as cursor:
            return queries.read_outcomes(cursor)

    def ends(self) -> dict[tuple[str, int], int]:
        """Return where Kafka's partitions end."""
        return end_offsets(self._bootstrap, self._topics.all())

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _cursor(self) -> extensions.cursor:
        if self._connection is None:
            self._connection = connect(self._database, application_name=APPLICATION_NAME)
            self._connection.autocommit = True
        return self._connection.cursor()

    def _offsets(self, cursor: extensions.cursor, at: float) -> Observation:
        # The counted offsets first: Kafka's ends can only have grown meanwhile.
        progress = queries.read_progress(cursor, self.topic_ids)
        counted = queries.read_offsets(cursor, self.topic_ids)
        ends = self.ends()
        events = progress.get(self._topics.events, TopicProgress())
        end = sum(offset for (topic, _), offset in ends.items() if topic == self._topics.events)
        arriving, committing = self._rates.add(at, end, events.next)
        flow = Flow(
            produced=end - events.first,
            counted=events,
            arriving=arriving,
            committing=committing,
            lag=sum(max(offset - counted.get(where, 0), 0) for where, offset in ends.items()),
        )
        return replace(self.last, ends=ends, counted=counted, progress=progress, flow=flow)

    def _details(self, cursor: extensions.cursor, at: float, seen: Observation) -> Observation:
        if not seen.flow.counted.accepted:
            return seen
        model, model_age = queries.read_model(cursor) or (None, 0.0)
        return replace(
            seen,
            open_sessions=queries.read_open_sessions(cursor),
            trending=queries.read_trending(cursor, LIST_ROWS),
            model=model,
            model_age=model_age,
            recommends=model is not None and queries.has_recommendations(cursor),
            listener=self._look_at_listener(cursor, at),
        )

    def _look_at_listener(self, cursor: extensions.cursor, at: float) -> Listener | None:
        if self._fixed_listener is None and at - self._listener_since >= LISTENER_SECONDS:
            self._listener = queries.read_active_listener(cursor)
            self._listener_since = at
        if self._listener is None:
            return None
        name, place = queries.read_person(cursor, self._listener)
        return Listener(
            user_id=self._listener,
            name=name,
            place=place,
            plays=queries.read_plays(cursor, self._listener, LIST_ROWS),
            recommendations=queries.read_recommendations(cursor, self._listener, LIST_ROWS),
        )
