"""The contract: what an event, a user and an item are on Kafka. Defined here and nowhere else.

An event is one JSON object in ``<domain>.events``, keyed by ``user_id``. A user and an item are
one JSON object each in the compacted topics ``<domain>.users`` and ``<domain>.items``, keyed by
their id; an empty value deletes. The producer, Spark's schema, the checks in the stream and
``docs/events.md`` derive from the declarations below, and a contract test pins them together.

A field that is not declared is ignored. A newer ``schema_version`` is accepted as long as
nothing required is missing. Text given as another JSON type is read as its JSON text.

An ``impression`` says that an item was shown, one event an item. It is no activity: it counts in
``platform_activity_minute``, under its own type, and in ``recommendation_outcomes``, where the
plays and likes that follow it are counted beside it; in no other table.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCHEMA_VERSION: Final = 1
MAX_RECORD_BYTES: Final = 262_144
MAX_TEXT_LENGTH: Final = 512
MAX_ID_LENGTH: Final = 128
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
EARLIEST_TS: Final = 946_684_800_000  # 2000-01-01: seconds mistaken for milliseconds fall below
LATEST_TS: Final = 4_102_444_800_000  # 2100-01-01
DAY_MS: Final = 86_400_000


class Kind(StrEnum):
    """The JSON type of a field."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    TEXTS = "list of text"


class Reason(StrEnum):
    """Why a record was rejected. The field it is about stands beside it, where there is one."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    INVALID_UTF8 = "invalid_utf8"
    MALFORMED_JSON = "malformed_json"
    WRONG_TYPE = "wrong_type"
    MISSING = "missing"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    FORBIDDEN_CHARACTER = "forbidden_character"
    NOT_ALLOWED = "not_allowed"
    IN_THE_FUTURE = "in_the_future"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: its type, its bounds and what it means."""

    name: str
    kind: Kind
    doc: str
    required: bool = False
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = MAX_TEXT_LENGTH
    pattern: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event and the fields it cannot do without beside the envelope's."""

    name: str
    doc: str
    requires: tuple[str, ...] = ()


def _id(name: str, doc: str, *, required: bool = False) -> Field:
    return Field(name, Kind.TEXT, doc, required=required, max_length=MAX_ID_LENGTH)


def _timestamp(name: str, doc: str, *, required: bool = False) -> Field:
    return Field(
        name,
        Kind.INTEGER,
        doc,
        required=required,
        unit="ms since 1970-01-01 UTC",
        minimum=EARLIEST_TS,
        maximum=LATEST_TS,
    )


LEVELS: Final = ("free", "paid")

EVENT_TYPES: Final = (
    EventType(
        "listen",
        "A play that has ended: complete, partial or skipped by ms_played over duration_ms",
        ("item_id", "duration_ms", "ms_played"),
    ),
    EventType("like", "Thumbs up for an item", ("item_id",)),
    EventType("unlike", "A like taken back", ("item_id",)),
    EventType("dislike", "Thumbs down for an item", ("item_id",)),
    EventType("playlist_add", "An item put into a playlist", ("item_id",)),
    EventType("page_view", "A page was opened", ("page",)),
    EventType("search", "A search was made", ("query",)),
    EventType("advert", "An advertisement was played"),
    EventType("login", "The user logged in"),
    EventType("logout", "The user logged out, which ends the session"),
    EventType("subscription_change", "level is the new level from now on", ("level",)),
    EventType(
        "impression",
        "An item was shown, recommended or not: no activity of the user",
        ("item_id", "position", "source"),
    ),
)
EVENT_TYPE_NAMES: Final = tuple(one.name for one in EVENT_TYPES)

EVENT_FIELDS: Final = (
    Field(
        "event_id",
        Kind.TEXT,
        "UUID of the event. The same id twice is one event.",
        required=True,
        max_length=36,
        pattern=UUID_PATTERN,
    ),
    Field(
        "schema_version",
        Kind.INTEGER,
        "Version of this contract that the sender knows",
        required=True,
        minimum=1,
        maximum=1_000_000,
    ),
    Field(
        "event_type",
        Kind.TEXT,
        "What happened",
        required=True,
        choices=EVENT_TYPE_NAMES,
    ),
    _timestamp("event_ts", "When it happened", required=True),
    _timestamp("produced_ts", "When the sender handed it over"),
    _id("user_id", "Who did it. The Kafka key.", required=True),
    _id("item_id", "What it was done to"),
    _id("session_id", "The visit it belongs to, unique for its user"),
    Field(
        "duration_ms",
        Kind.INTEGER,
        "Length of the item",
        unit="ms",
        minimum=1,
        maximum=DAY_MS,
    ),
    Field(
        "ms_played",
        Kind.INTEGER,
        "How long it was played",
        unit="ms",
        minimum=0,
        maximum=DAY_MS,
    ),
    Field("page", Kind.TEXT, "Name of the page"),
    Field("query", Kind.TEXT, "What was searched for"),
    Field("device", Kind.TEXT, "Kind of device", max_length=MAX_ID_LENGTH),
    Field("city", Kind.TEXT, "City", max_length=MAX_ID_LENGTH),
    Field("country", Kind.TEXT, "ISO 3166-1 alpha-2 code", max_length=MAX_ID_LENGTH),
    Field("lat", Kind.NUMBER, "Latitude", unit="degrees", minimum=-90, maximum=90),
    Field("lon", Kind.NUMBER, "Longitude", unit="degrees", minimum=-180, maximum=180),
    Field("level", Kind.TEXT, "Subscription", choices=LEVELS),
    Field("position", Kind.INTEGER, "Place in the list that was shown", minimum=1, maximum=10_000),
    _id("source", "What put the item there, as a recommendation says"),
    Field(
        "model_run_id",
        Kind.INTEGER,
        "Run of the recommender that made the list, if one did",
        minimum=1,
        maximum=2**53,
    ),
    _id("variant", "Variant of an experiment that the list was made for, as experiment:variant"),
)

USER_FIELDS: Final = (
    _id("user_id", "Who", required=True),
    Field("schema_version", Kind.INTEGER, "Version of this contract", required=True, minimum=1),
    Field("name", Kind.TEXT, "Full name"),
    Field("birth_year", Kind.INTEGER, "Year of birth", minimum=1900, maximum=2100),
    Field("gender", Kind.TEXT, "Gender as the user gave it", max_length=MAX_ID_LENGTH),
    Field("city", Kind.TEXT, "City", max_length=MAX_ID_LENGTH),
    Field("country", Kind.TEXT, "ISO 3166-1 alpha-2 code", max_length=MAX_ID_LENGTH),
    Field("time_zone", Kind.TEXT, "IANA time zone", max_length=MAX_ID_LENGTH),
    Field("device", Kind.TEXT, "Usual kind of device", max_length=MAX_ID_LENGTH),
    Field("level", Kind.TEXT, "Subscription", choices=LEVELS),
    _timestamp("registered_ts", "When the user registered"),
    _timestamp("updated_ts", "When this version was made"),
)

ITEM_FIELDS: Final = (
    _id("item_id", "What", required=True),
    Field("schema_version", Kind.INTEGER, "Version of this contract", required=True, minimum=1),
    Field("title", Kind.TEXT, "Title", required=True),
    _id("artist_id", "Who made it"),
    Field("artist_name", Kind.TEXT, "Name of the artist"),
    _id("album_id", "Album it is on"),
    Field("album_title", Kind.TEXT, "Title of the album"),
    Field("genres", Kind.TEXTS, "Genres, the most fitting first", max_length=MAX_ID_LENGTH),
    Field("duration_ms", Kind.INTEGER, "Length", unit="ms", minimum=1, maximum=DAY_MS),
    _timestamp("released_ts", "When it came out"),
    _timestamp("updated_ts", "When this version was made"),
)


@dataclass(frozen=True, slots=True)
class Topics:
    """The Kafka topics of a domain."""

    events: str
    users: str
    items: str

    @classmethod
    def of(cls, prefix: str) -> "Topics":
        """Return the topics with a prefix, by default the domain's name."""
        return cls(f"{prefix}.events", f"{prefix}.users", f"{prefix}.items")

    def all(self) -> tuple[str, str, str]:
        """Return every topic: events, users, items."""
        return (self.events, self.users, self.items)

    def compacted(self) -> tuple[str, str]:
        """Return the entity topics, of which Kafka keeps the last value for each key."""
        return (self.users, self.items)


MUSIC_TOPICS: Final = Topics.of("music")
