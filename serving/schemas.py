"""What the API's answers look like: the models that its OpenAPI document shows.

Answers are made by hand and not validated by these again; tests hold the two together.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """What is wrong with one field of a request, or with one record of many."""

    field: str | None = None
    message: str | None = None
    position: int | None = Field(None, description="Number of the record, from 0")
    reason: str | None = Field(None, description="As in docs/events.md")


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str
    errors: list[FieldError] = []


class Hello(BaseModel):
    """Who answers."""

    name: str
    version: str


class Live(BaseModel):
    """That the process answers."""

    status: Literal["live"]


class Ready(BaseModel):
    """Whether the API can do all that it is for, and which part is away if not."""

    status: Literal["ready", "not ready"]
    parts: dict[str, str]


class Key(BaseModel):
    """The key that a request came with."""

    key_id: str
    role: Literal["read", "write", "admin"]


class Batch(BaseModel):
    """A micro-batch of events as it was committed."""

    batch: int
    committed_at: datetime
    read: int
    accepted: int
    late: int
    duplicate: int
    rejected: int
    phases: dict[str, float] = Field(description="Time of each step, in ms")


class CountryActivity(BaseModel):
    """What happened in a country."""

    country: str = Field(description="ISO 3166-1 alpha-2; empty: not given")
    events: int
    plays: int


class Now(BaseModel):
    """How the platform does. What Kafka would have to say is null while it is away."""

    at: float = Field(description="When it was seen, in s since 1970-01-01 UTC")
    arriving_per_second: float | None = Field(description="Events into Kafka, of the last 10 s")
    committed_per_second: float = Field(description="Events counted, of the last 10 s")
    lag: int | None = Field(description="Events in Kafka that are not counted yet")
    newest_seconds: float | None = Field(description="Since the newest counted event arrived, s")
    since_commit_seconds: float | None = Field(description="Since the last batch, in s")
    produced: int | None = Field(description="Events in Kafka since counting began")
    accepted: int
    late: int
    duplicate: int
    rejected: int
    rejected_lately: int = Field(description="Of the last 15 minutes")
    batches: list[Batch] = Field(description="The newest ones, the newest first")
    active_listeners: int = Field(description="Who did something within 5 minutes")
    open_sessions: int
    countries: list[CountryActivity] = Field(description="Of the last 15 minutes")


class Minutes(BaseModel):
    """Columns by the minute of event time: the last 3 hours at most."""

    times: list[int] = Field(description="Starts, in s since 1970-01-01 UTC")
    active_listeners: list[int]
    events: list[int]


class Chronicle(BaseModel):
    """Columns over time, an entry a step. Null where nobody watched, or nothing was committed."""

    step_seconds: int
    times: list[int] = Field(description="Starts of the steps, in s since 1970-01-01 UTC")
    arriving_per_second: list[float | None]
    committed_per_second: list[float]
    lag: list[float | None]
    newest_seconds: list[float | None]
    rejected: list[int]
    batch_ms: list[float | None] = Field(description="Mean time of a batch, in ms")
    minutes: Minutes


class Item(BaseModel):
    """An item. What nobody announced of it is null."""

    item_id: str
    title: str | None
    artist_id: str | None
    artist: str | None
    album_id: str | None
    album: str | None
    genres: list[str]
    duration_ms: int | None
    released_at: datetime | None


class Recommended(BaseModel):
    """One entry of a list."""

    rank: int
    score: float
    source: str = Field(description="personal, explore, genre, trending or popular")
    reason: str
    model_run_id: int | None = Field(description="The run whose model put it there, if one did")
    item: Item


class Recommendations(BaseModel):
    """A listener's list as of now."""

    user_id: str
    known: bool = Field(description="Whether anything is known of the listener")
    model_run_id: int | None = Field(description="The published run")
    algorithm: str | None
    published_at: datetime | None = Field(description="When the run was published")
    data_to: datetime | None = Field(description="Newest event that the run knows")
    made_by: Literal["run", "live"] | None = Field(
        description="What made the personal part: the run, or `encore live` since"
    )
    made_at: datetime | None = Field(description="When the personal part was made")
    variant: str | None = Field(
        description="What the running experiment shows to the listener, as experiment:variant"
    )
    recommendations: list[Recommended]
    next: str | None = Field(description="`cursor` of the next page; null on the last")
    as_of: datetime | None = Field(None, description="The moment that was asked for, if any")
    certain: bool | None = Field(
        None,
        description="With `as_of`: whether it is the very list. Not so where `encore live` has "
        "made a newer one since, as nobody knows whether it made one before.",
    )


class Deleted(BaseModel):
    """That a listener is on the way out."""

    user_id: str
    digest: str = Field(description="SHA-256 of the id, by which `erasures` knows it")


class ItemPage(BaseModel):
    """Some of the items, in order."""

    items: list[Item]
    offset: int
    more: bool = Field(description="Whether there are more behind them")


class SimilarItem(BaseModel):
    """An item that is like another."""

    rank: int
    score: float
    source: str = Field(description="What says so first: factors, co-listening or text")
    item: Item


class Similar(BaseModel):
    """What is like an item, by the published run."""

    item_id: str
    model_run_id: int | None
    similar: list[SimilarItem]


class TrendingItem(BaseModel):
    """An item that is played now."""

    rank: int
    score: float = Field(description="Decayed sum of signals as of now, in complete plays")
    item: Item


class Trending(BaseModel):
    """What trends, everywhere or in one country, of all genres or one."""

    genre: str | None
    country: str | None
    items: list[TrendingItem]


class PopularItem(BaseModel):
    """An item that was played much."""

    rank: int
    plays: int
    completes: int
    skips: int
    likes: int
    item: Item


class Popular(BaseModel):
    """What was played most, by whole days of event time (UTC)."""

    genre: str | None
    days: int
    since: date
    items: list[PopularItem]


class User(BaseModel):
    """A listener as announced. All but the id is null where only events are known of them."""

    user_id: str
    announced: bool
    name: str | None
    birth_year: int | None
    gender: str | None
    city: str | None
    country: str | None
    time_zone: str | None
    device: str | None
    level: str | None
    registered_at: datetime | None
    updated_at: datetime | None


class FoundUser(BaseModel):
    """A listener that was looked for."""

    user_id: str
    name: str | None
    city: str | None
    country: str | None


class FoundUsers(BaseModel):
    """Listeners that were looked for, the likeliest first."""

    users: list[FoundUser]


class Activity(BaseModel):
    """What a listener did, in total."""

    events: int
    plays: int
    completes: int
    skips: int
    likes: int
    dislikes: int
    playlist_adds: int
    minutes_played: float
    skip_rate: float | None
    sessions: int
    active_days: int
    first_seen_at: datetime
    last_seen_at: datetime


class GenreAffinity(BaseModel):
    """What a listener gave a genre, decayed to now, in complete plays."""

    genre: str
    signal: float
    plays: int
    likes: int


class ArtistAffinity(BaseModel):
    """What a listener gave an artist, decayed to now, in complete plays."""

    artist_id: str
    artist: str | None
    signal: float
    plays: int
    likes: int


class Features(BaseModel):
    """What is known of a listener's taste and activity."""

    user_id: str
    activity: Activity | None
    genres: list[GenreAffinity]
    artists: list[ArtistAffinity]


class Heard(BaseModel):
    """What a listener did with an item."""

    signal: float = Field(description="As of the last event, in complete plays")
    plays: int
    completes: int
    skips: int
    likes: int
    unlikes: int
    dislikes: int
    playlist_adds: int
    first_at: datetime
    last_at: datetime
    item: Item


class History(BaseModel):
    """What a listener did, the newest first: an entry an item."""

    user_id: str
    history: list[Heard]
    offset: int
    more: bool


class Known(BaseModel):
    """The items that a listener knows, and that are not recommended to them, in order of id."""

    user_id: str
    item_ids: list[str]
    offset: int
    more: bool


class Accepted(BaseModel):
    """What became of records: those that keep the contract are acknowledged by Kafka."""

    accepted: int
    rejected: int
    errors: list[FieldError] = Field(description="What is wrong with each of the rejected")


class Impressed(BaseModel):
    """Impressions that Kafka has acknowledged."""

    accepted: int


class Preferred(BaseModel):
    """The event that says so, acknowledged by Kafka."""

    event_id: str
    event_type: str
    user_id: str
    item_id: str


class ForSession(BaseModel):
    """What to recommend to a listener without a name."""

    model_run_id: int
    unknown: list[str] = Field(description="Items of the request that the model does not know")
    recommendations: list[Recommended]


class RecommendedToAll(Recommended):
    """One entry of a list for several."""

    by_user: dict[str, float] = Field(description="Predicted preference of each of them")


class ForGroup(BaseModel):
    """What to recommend to several listeners at once."""

    model_run_id: int
    unknown: list[str] = Field(description="Of whom nothing is known that the model could use")
    recommendations: list[RecommendedToAll]


class Share(BaseModel):
    """What an item of a listener adds to a predicted preference."""

    share: float
    item: Item


class Because(BaseModel):
    """Why the model would recommend an item."""

    user_id: str
    item_id: str
    model_run_id: int
    estimate: float = Field(description="The predicted preference: the sum of all shares")
    because: list[Share]


class Estimate(BaseModel):
    """A predicted preference; null where the model does not know the item."""

    item_id: str
    estimate: float | None


class Estimates(BaseModel):
    """What a listener would prefer."""

    user_id: str
    model_run_id: int
    estimates: list[Estimate]


class Write(BaseModel):
    """A call that writes, and what became of it."""

    write_id: int
    called_at: datetime
    key_id: str
    key_name: str | None
    method: str
    path: str
    status: int
    records: int = Field(description="Records that Kafka acknowledged")


class Writes(BaseModel):
    """Calls that write, the newest first."""

    writes: list[Write]
    next: int | None = Field(description="`before` of the next page; null on the last")


class ExperimentVariant(BaseModel):
    """What an experiment shows to a share of the listeners."""

    name: str
    share: float
    model_run_id: int | None = Field(
        description="Run whose lists are shown, as they were made; null: as to everybody"
    )
    max_per_artist: int
    max_per_genre: int
    without: list[str] = Field(description="Sources that are left out")


class Experiment(BaseModel):
    """An experiment. It runs until it is stopped."""

    name: str
    started_at: datetime
    stopped_at: datetime | None
    variants: list[ExperimentVariant]


class Experiments(BaseModel):
    """The experiments, the newest first."""

    experiments: list[Experiment]


class VariantResults(BaseModel):
    """What came of a variant. Intervals are of 95 %, as if impressions were independent."""

    variant: str
    impressions: int
    plays: int = Field(description="Impressions that a play followed")
    completes: int
    skips: int
    likes: int
    click_through: float | None = Field(description="plays / impressions")
    low: float | None
    high: float | None
    difference: float | None = Field(description="To the first variant; null for itself")
    difference_low: float | None
    difference_high: float | None


class ExperimentResults(BaseModel):
    """What came of an experiment, its first variant first."""

    experiment: str
    variants: list[VariantResults]
