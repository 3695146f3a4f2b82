"""What the answers about music, models and data look like, as the OpenAPI document shows them.

Like those of :mod:`serving.schemas` they are made by hand; tests hold the two together.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from serving.schemas import Item


class Place(BaseModel):
    """A place in the charts. Items with as many plays share one."""

    rank: int = Field(examples=[2])
    plays: int = Field(examples=[41])


class Charted(Place):
    """An item of the charts, and where it was in the span before."""

    before: Place | None = Field(description="null: it was not played then")
    item: Item


class Charts(BaseModel):
    """What was played most in a span, against the span of the same length before it."""

    span: Literal["hour", "day", "week"]
    genre: str | None
    since: datetime = Field(description="Start of the span; the one before ends here")
    until: datetime = Field(description="End of the span: of the bucket of event time that is on")
    items: list[Charted]


class GenrePlays(BaseModel):
    """Plays of a genre. An item counts for each of its genres."""

    genre: str = Field(examples=["Folk"])
    total: int
    plays: list[int] = Field(description="One number for each of `starts`")


class GenreActivity(BaseModel):
    """Plays by genre over time, the most played genre first."""

    by: Literal["hour", "day"]
    starts: list[datetime] = Field(description="Start of each bucket of event time, UTC")
    genres: list[GenrePlays]


class Bucket(BaseModel):
    """What happened to an item in one bucket of event time."""

    start: datetime
    plays: int
    completes: int
    skips: int
    likes: int


class ItemActivity(BaseModel):
    """An item over time, without a gap, the oldest bucket first."""

    item_id: str
    by: Literal["5m", "hour", "day"]
    buckets: list[Bucket]


class OpenSession(BaseModel):
    """A visit that lasts."""

    user_id: str
    name: str | None
    country: str | None
    session_id: str
    started_at: datetime
    last_event_at: datetime
    plays: int
    completes: int
    skips: int
    ms_played: int
    last_item: Item | None = Field(description="What they did something with last, in this visit")


class OpenSessions(BaseModel):
    """Visits that last, who did something last first."""

    open: int = Field(description="How many there are, counted up to 100,000")
    sessions: list[OpenSession]


class ModelQuality(BaseModel):
    """What one way to order lists was worth on the newest part of the data."""

    model: str = Field(description="als, blend or popularity", examples=["als"])
    ndcg: float = Field(description="NDCG@10", examples=[0.119])
    ndcg_low: float | None = Field(description="Lower end of its bootstrap interval")
    ndcg_high: float | None = Field(description="Upper end of its bootstrap interval")
    recall: float = Field(description="Recall@20")
    coverage: float | None = Field(
        description="Share of the items of the training set that are in somebody's first 20"
    )


class ModelRun(BaseModel):
    """An attempt to make recommendations."""

    model_run_id: int
    algorithm: str
    status: str = Field(description="running, published, superseded, refused or failed")
    champion: bool = Field(description="Whether readers see it")
    kept: bool = Field(description="Whether readers can be shown it again")
    users: int | None
    items: int | None
    interactions: int | None = Field(description="User-item pairs in the training set")
    data_from: datetime | None
    data_to: datetime | None
    started_at: datetime
    published_at: datetime | None
    duration_seconds: float | None
    message: str | None = Field(description="Why it was refused or failed, or a warning")
    parameters: dict[str, Any]
    test_users: int = Field(description="Listeners that its quality was measured on")
    orders_lists: str | None = Field(description="Which of `quality` orders its lists")
    list_length: float | None = Field(description="Items of a list, on average")
    quality: list[ModelQuality]


class ModelRuns(BaseModel):
    """The runs that are on record, the newest first."""

    champion: int | None = Field(description="The run that readers see")
    runs: list[ModelRun]


class Diversity(BaseModel):
    """How much variety is in the first ten of a run's lists."""

    model_run_id: int
    lists: int = Field(description="Lists looked at: the first ones in the order of user ids")
    artists: float | None = Field(description="Different artists in a list's first ten, on average")
    genres: float | None = Field(description="Different genres in a list's first ten, on average")
    items: int = Field(description="Different items in the first ten of all these lists")
    sources: dict[str, float] = Field(
        description="Share of each source in them", examples=[{"personal": 0.9, "popular": 0.1}]
    )


class RolledBack(BaseModel):
    """Which run readers see now, and which they saw."""

    model_run_id: int
    before: int


class TableSize(BaseModel):
    """A table of the database."""

    table: str = Field(examples=["user_item_affinity"])
    meaning: str
    rows: int | None = Field(description="As PostgreSQL estimates; null: it cannot tell yet")
    bytes: int = Field(description="With its indexes")
    index_bytes: int
    partitions: int = Field(description="0: it is one table")


class TableSizes(BaseModel):
    """The tables of the database, the largest first."""

    database_bytes: int = Field(description="All of the database, what is no table as well")
    tables: list[TableSize]


class PartitionAccount(BaseModel):
    """What became of the records of a partition."""

    partition: int
    topic_id: str = Field(description="Kafka's id of the topic: a topic made anew has another")
    first_offset: int = Field(description="Where counting began")
    next_offset: int = Field(description="First offset that is not yet counted")
    gaps: int = Field(description="Offsets without a record")
    read: int = Field(description="Records: offsets passed, without the gaps")
    accepted: int
    late: int = Field(description="Of the accepted")
    duplicate: int
    rejected: int
    closes: bool = Field(description="Whether read = accepted + duplicate + rejected")
    arrived_at: datetime | None = Field(description="Arrival in Kafka of the newest counted record")
    closed_at: datetime | None = Field(description="When the topic was given up for one made anew")


class TopicAccount(BaseModel):
    """What became of the records of a topic."""

    topic: str = Field(examples=["music.events"])
    read: int
    accepted: int
    late: int
    duplicate: int
    rejected: int
    closes: bool
    partitions: list[PartitionAccount]


class Accounts(BaseModel):
    """What became of every record that the stream has read."""

    closes: bool = Field(description="Whether it adds up for every partition")
    topics: list[TopicAccount]


class RejectedRecord(BaseModel):
    """A record that breaks the contract."""

    place: str = Field(description="Topic, partition and offset", examples=["music.events/2/1042"])
    topic: str
    topic_id: str
    partition: int
    offset: int
    reason: str = Field(description="As in docs/events.md", examples=["out_of_range"])
    field: str | None = Field(examples=["event_ts"])
    rule: str = Field(description="What the contract says of the field, or of a record")
    key: str | None = Field(description="Escaped; null: it has none")
    value: str | None = Field(description="Its first 4,096 bytes, escaped; null: it has none")
    bytes: int = Field(description="Size of the value")
    arrived_at: datetime
    rejected_at: datetime
    replayed_at: datetime | None = Field(description="When it was sent again; null: not yet")
    replayed_to: str | None = Field(description="Partition and offset where it was sent again")


class RejectedPage(BaseModel):
    """Rejected records, the newest first."""

    records: list[RejectedRecord]
    offset: int
    more: bool = Field(description="Whether there are more behind them")


class RejectedReason(BaseModel):
    """How many records of a topic wait that were rejected for one reason."""

    topic: str
    reason: str
    field: str | None
    rule: str
    records: int
    first_at: datetime = Field(description="First arrival in Kafka")
    last_at: datetime = Field(description="Last arrival in Kafka")


class RejectedReasons(BaseModel):
    """Why records were rejected that were not sent again, the most frequent reason first."""

    counted: int = Field(description="Records that were counted: the newest 10,000 at most")
    all: bool = Field(description="Whether these are all")
    reasons: list[RejectedReason]


class Replayed(BaseModel):
    """What became of records that were to be sent again."""

    dry_run: bool
    would_send: int = Field(description="In a dry run; else 0")
    sent: int
    acknowledged: int
    marked: int = Field(description="As replayed: those that Kafka acknowledged")
    skipped: dict[str, int] = Field(
        description="Not sent, by reason", examples=[{"already replayed": 2}]
    )
    failed: dict[str, int] = Field(description="Not acknowledged, by error")
    left: int = Field(description="Not tried, since Kafka did not take those before")
