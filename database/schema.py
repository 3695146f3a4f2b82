"""The tables of a domain's database: what each holds, at which grain, in which unit.

A stored table holds only what is additive, so that a micro-batch is merged into it with one
upsert and in any order. Everything that follows from it (rates, open sessions, decayed scores,
genre affinities, distinct listeners) is a view, and so cannot disagree with it.
`docs/tables.md` is generated from the comments below, which also stand in the database.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key(name: str, comment: str, kind: TypeEngine[Any] | None = None) -> Column[object]:
    return Column(name, kind or Text(), primary_key=True, nullable=False, comment=comment)


def _time(name: str, comment: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def _time_key(name: str, comment: str) -> Column[object]:
    return _key(name, comment, DateTime(timezone=True))


def _count(name: str, comment: str) -> Column[object]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


def _text(name: str, comment: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, Text, nullable=nullable, comment=comment)


def _texts(name: str, comment: str) -> Column[object]:
    return Column(name, ARRAY(Text), nullable=False, comment=comment)


def _trigrams(name: str, column: str) -> Index:
    return Index(
        name, column, postgresql_using="gin", postgresql_ops={column: "gin_trgm_ops"}
    )  # where the server has pg_trgm


def _listening_counts() -> list[Column[object]]:
    return [
        _count("plays", "Plays that ended"),
        _count("completes", "Plays of at least FEATURE_COMPLETE_RATIO of the track"),
        _count("skips", "Plays of less than FEATURE_SKIP_RATIO of the track"),
        _count("likes", "Likes"),
        _count("unlikes", "Likes taken back"),
        _count("dislikes", "Dislikes"),
        _count("playlist_adds", "Additions to a playlist"),
        _count("ms_played", "Time played, in ms"),
    ]


# --- entities: rebuilt from the compacted topics ----------------------------------------------

USERS = Table(
    "users",
    METADATA,
    _key("user_id", "Who"),
    _text("name", "Full name"),
    Column("birth_year", SmallInteger, comment="Year of birth"),
    _text("gender", "As the user gave it"),
    _text("city", "City"),
    _text("country", "ISO 3166-1 alpha-2 code"),
    _text("time_zone", "IANA time zone"),
    _text("device", "Usual kind of device"),
    _text("level", "free or paid"),
    _time("registered_at", "When the user registered", nullable=True),
    _time("updated_at", "When this version was made", nullable=True),
    CheckConstraint("level IN ('free', 'paid')", name="level"),
    Index(None, "country"),
    _trigrams("ix_users_name_trigrams", "name"),
    comment="Users as last announced on the users topic. One row a user.",
)
Index(
    "ix_users_beginning",
    func.lower(USERS.c.user_id).label("lowered"),
    postgresql_ops={"lowered": "text_pattern_ops"},
)

ARTISTS = Table(
    "artists",
    METADATA,
    _key("artist_id", "Who"),
    _text("name", "Name"),
    _trigrams("ix_artists_name_trigrams", "name"),
    comment="Artists of the items. One row an artist.",
)

ALBUMS = Table(
    "albums",
    METADATA,
    _key("album_id", "Album"),
    _text("title", "Title"),
    Column("artist_id", Text, ForeignKey(ARTISTS.c.artist_id), comment="Whose album it is"),
    Index(None, "artist_id"),
    comment="Albums of the items. One row an album.",
)

GENRES = Table(
    "genres",
    METADATA,
    _key("genre", "Name of the genre"),
    comment="Genres that an item has had. One row a genre.",
)

ITEMS = Table(
    "items",
    METADATA,
    _key("item_id", "What"),
    _text("title", "Title", nullable=False),
    Column("artist_id", Text, ForeignKey(ARTISTS.c.artist_id), comment="Main artist"),
    Column("album_id", Text, ForeignKey(ALBUMS.c.album_id), comment="Album it is on"),
    Column("duration_ms", BigInteger, comment="Length in ms"),
    _time("released_at", "When it came out", nullable=True),
    _time("updated_at", "When this version was made", nullable=True),
    CheckConstraint("duration_ms > 0", name="duration"),
    Index(None, "artist_id"),
    Index(None, "album_id"),
    Index("ix_items_latest", text("released_at DESC NULLS LAST"), "item_id"),
    _trigrams("ix_items_title_trigrams", "title"),
    comment="Items (tracks) as last announced on the items topic. One row an item.",
)

ITEM_GENRES = Table(
    "item_genres",
    METADATA,
    Column(
        "item_id",
        Text,
        ForeignKey(ITEMS.c.item_id, ondelete="CASCADE"),
        primary_key=True,
        comment="What",
    ),
    Column("genre", Text, ForeignKey(GENRES.c.genre), primary_key=True, comment="Its genre"),
    Column("position", SmallInteger, nullable=False, comment="1 is the most fitting genre"),
    Index(None, "genre", "item_id"),
    comment="Genres of the items. One row an item and genre.",
)

# --- features: additive, merged from each micro-batch -----------------------------------------


def _item_counts(name: str, grain: str) -> Table:
    return Table(
        name,
        METADATA,
        _key("item_id", "What"),
        _time_key("bucket_start", f"Start of the {grain}, UTC"),
        *_listening_counts(),
        Index(None, "bucket_start"),
        comment=f"Item activity as counted. One row an item and {grain} of event time.",
    )


ITEM_COUNTS_5M = _item_counts("item_counts_5m", "5 minutes")
ITEM_COUNTS_HOUR = _item_counts("item_counts_hour", "hour")
ITEM_COUNTS_DAY = _item_counts("item_counts_day", "day")

ITEM_LISTENERS = Table(
    "item_listeners",
    METADATA,
    _text("item_id", "What", nullable=False),
    _time("bucket_start", "Start of the 5 minutes, UTC"),
    _texts("user_ids", "Who played it, as found by one batch"),
    Index(None, "item_id", "bucket_start"),
    comment="Who played an item in which 5 minutes: makes distinct listeners exact. "
    "One row an item, 5 minutes and batch; a user may stand in several.",
)

ITEM_TRENDS = Table(
    "item_trends",
    METADATA,
    _key("country", "Country of the plays; empty: everywhere"),
    _key("item_id", "What"),
    Column(
        "score",
        Double,
        nullable=False,
        comment="Sum of the signals, each halved for every FEATURE_TREND_HALF_LIFE_HOURS "
        "between it and as_of; in complete plays",
    ),
    _time("as_of", "Newest event in the score"),
    Column(
        "heat",
        Double,
        comment="log2(score) + as_of / half-life: orders items by their decayed score at any "
        "moment. NULL where the score is not positive",
    ),
    Index("ix_item_trends_heat", "country", text("heat DESC NULLS LAST")),
    comment="Exponentially decayed popularity. One row an item and country, and one everywhere.",
)

USER_COUNTS_DAY = Table(
    "user_counts_day",
    METADATA,
    _key("user_id", "Who"),
    _key("day", "Day of event time, UTC", Date()),
    _count("events", "Events of every type but impressions"),
    *_listening_counts(),
    _time("first_at", "First event of the day"),
    _time("last_at", "Last event of the day"),
    Index(None, "day"),
    comment="User activity as counted. One row a user and day of event time.",
)

USER_ITEM_AFFINITY = Table(
    "user_item_affinity",
    METADATA,
    _key("user_id", "Who"),
    _key("item_id", "What"),
    Column(
        "signal",
        Double,
        nullable=False,
        comment="Sum of the share of the track played (a skip gives 0), WEIGHT_LIKE a like, "
        "minus that an unlike, WEIGHT_PLAYLIST_ADD a playlist addition, each halved for every "
        "FEATURE_AFFINITY_HALF_LIFE_DAYS between it and last_at; in complete plays",
    ),
    *_listening_counts(),
    _time("first_at", "First event of the user with the item"),
    _time("last_at", "Last event of the user with the item"),
    comment="What a user gave an item: what the recommender trains on. One row a user and item.",
)

SESSION_COUNTS = Table(
    "session_counts",
    METADATA,
    _key("user_id", "Who"),
    _key("session_id", "Visit, unique for its user"),
    _count("events", "Events of every type but impressions"),
    _count("plays", "Plays that ended"),
    _count("completes", "Complete plays"),
    _count("skips", "Skips"),
    _count("ms_played", "Time played, in ms"),
    _time("started_at", "First event"),
    _time("last_event_at", "Last event so far"),
    _time("logged_out_at", "Last logout, if there was one", nullable=True),
    Index(None, "last_event_at"),
    comment="Visits as counted. One row a user and session.",
)

PLATFORM_ACTIVITY_MINUTE = Table(
    "platform_activity_minute",
    METADATA,
    _time_key("minute", "Start of the minute of event time, UTC"),
    _key("event_type", "What happened"),
    _key("country", "Country; empty: not given"),
    _key("device", "Kind of device; empty: not given"),
    _key("level", "free or paid; empty: not given"),
    _count("events", "Events"),
    comment="Events of the platform. One row a minute, event type, country, device and level.",
)

MINUTE_USERS = Table(
    "minute_users",
    METADATA,
    _time("minute", "Start of the minute of event time, UTC"),
    _texts("user_ids", "Who was active, as found by one batch"),
    Index(None, "minute"),
    comment="Who was active in which minute: makes active users exact. "
    "One row a minute and batch; a user may stand in several.",
)

# --- what came of recommendations ---------------------------------------------------------------

IMPRESSIONS = Table(
    "impressions",
    METADATA,
    Column("partition", Integer, nullable=False, comment="Kafka partition"),
    Column("offset", BigInteger, nullable=False, comment="Kafka offset"),
    _text("user_id", "Who saw it", nullable=False),
    _text("item_id", "What was shown", nullable=False),
    _time("shown_at", "When it was shown"),
    _time("arrived_at", "Arrival in Kafka"),
    Column(
        "model_run_id",
        BigInteger,
        nullable=False,
        comment="Run that made the list; 0: none did",
    ),
    _text("variant", "Variant of an experiment; empty: none", nullable=False),
    _text("source", "What put the item there", nullable=False),
    Column("position", Integer, nullable=False, comment="Place in the list, 1 is the first"),
    Column(
        "played",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether a play is credited to it",
    ),
    Column(
        "liked",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether a like is credited to it",
    ),
    Index(None, "user_id", "item_id"),
    Index(None, "arrived_at", postgresql_using="brin"),
    comment="Items that were shown, for as long as a play or like to come may belong to them: "
    "FEATURE_OUTCOME_WINDOW_HOURS and FEATURE_OUTCOME_LATENESS_HOURS. One row an impression.",
)

RECOMMENDATION_OUTCOMES = Table(
    "recommendation_outcomes",
    METADATA,
    _time_key("hour", "Hour in which they were shown, UTC"),
    Column(
        "model_run_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Run that made the list; 0: none did",
    ),
    _key("variant", "Variant of an experiment; empty: none"),
    _key("source", "What put the items there"),
    Column(
        "position",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Place in the list, 1 is the first",
    ),
    _count("impressions", "Items shown"),
    _count(
        "plays",
        "Impressions that a play followed. A play belongs to the newest impression of its user "
        "and item that stands before it in Kafka, in its partition, and happened within "
        "FEATURE_OUTCOME_WINDOW_HOURS before it, unless the play arrived more than that and "
        "FEATURE_OUTCOME_LATENESS_HOURS after it. Of several the first counts",
    ),
    _count("completes", "Of these plays: complete ones"),
    _count("skips", "Of these plays: skips"),
    _count("likes", "Impressions that a like followed, as for plays. An unlike takes none away"),
    comment="What came of what was shown. One row an hour of event time, run, variant, source and "
    "position.",
)

EXPERIMENTS = Table(
    "experiments",
    METADATA,
    _key("name", "Which experiment"),
    Column(
        "started_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When it began",
    ),
    _time("stopped_at", "When it was stopped; NULL: it runs", nullable=True),
    Index(
        "ix_experiments_running",
        text("(stopped_at IS NULL)"),
        unique=True,
        postgresql_where=text("stopped_at IS NULL"),
    ),
    comment="Experiments, of which one runs at a time. One row an experiment.",
)

EXPERIMENT_VARIANTS = Table(
    "experiment_variants",
    METADATA,
    Column(
        "experiment",
        Text,
        ForeignKey(EXPERIMENTS.c.name),
        primary_key=True,
        comment="Which experiment",
    ),
    _key("variant", "Which variant"),
    Column("place", SmallInteger, nullable=False, comment="1 is what the others are compared with"),
    Column(
        "bucket_from",
        Integer,
        nullable=False,
        comment="First bucket of users (experiment_bucket) that are shown it",
    ),
    Column("bucket_to", Integer, nullable=False, comment="Bucket after the last"),
    Column(
        "model_run_id",
        BigInteger,
        comment="Run whose lists are shown, as they were made; NULL: as to everybody",
    ),
    Column(
        "max_per_artist",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Most items of one artist; 0: any number",
    ),
    Column(
        "max_per_genre",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Most items of one main genre; 0: any number",
    ),
    Column(
        "without",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Sources whose items are left out",
    ),
    CheckConstraint(
        "0 <= bucket_from AND bucket_from < bucket_to AND bucket_to <= 10000", name="buckets"
    ),
    comment="What is shown to whom in an experiment. One row an experiment and variant.",
)

# --- the stream's own books -------------------------------------------------------------------

STREAM_OFFSETS = Table(
    "stream_offsets",
    METADATA,
    _key("topic", "Kafka topic"),
    _key("topic_id", "Kafka's id of the topic: another one means it was deleted and recreated"),
    _key("partition", "Kafka partition", Integer()),
    Column("first_offset", BigInteger, nullable=False, comment="Where counting began"),
    Column("next_offset", BigInteger, nullable=False, comment="First offset not yet counted"),
    _count("accepted", "Records counted into the tables since first_offset"),
    _count(
        "late", "Of the accepted: arrived STREAM_LATE_AFTER_MINUTES or more after they happened"
    ),
    _count("duplicate", "Records dropped as repeats since first_offset"),
    _count("rejected", "Records kept in rejected_events since first_offset"),
    _count("gaps", "Offsets without a record: compacted away, or the marks of a transaction"),
    _time("arrived_at", "Arrival in Kafka of the newest counted record", nullable=True),
    Column(
        "updated_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When this row last moved",
    ),
    _time("closed_at", "When the topic was given up for one made anew", nullable=True),
    CheckConstraint("next_offset >= first_offset", name="forward"),
    comment="How far each partition is counted into the tables, written in the transaction that "
    "counts it. One row a partition.",
)

INGEST_AUDIT = Table(
    "ingest_audit",
    METADATA,
    Column("batch", BigInteger, Identity(), primary_key=True, comment="Number of the batch"),
    _text("topic", "Kafka topic", nullable=False),
    Column("run_id", Uuid, nullable=False, comment="Start of the streaming job that wrote it"),
    Column("spark_batch", BigInteger, nullable=False, comment="Spark's own number of the batch"),
    Column("from_offsets", JSONB, nullable=False, comment="First offset of each partition"),
    Column("to_offsets", JSONB, nullable=False, comment="Offset after the last, of each partition"),
    _count("read", "Records read = accepted + duplicate + rejected"),
    _count("accepted", "Records counted into the tables"),
    _count("late", "Of the accepted: late ones"),
    _count("duplicate", "Records dropped as repeats"),
    _count("rejected", "Records kept in rejected_events"),
    Column("phases", JSONB, nullable=False, comment="Time of each step of the batch, in ms"),
    Column(
        "committed_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When the batch was committed",
    ),
    CheckConstraint("read = accepted + duplicate + rejected", name="closes"),
    Index(None, "committed_at"),
    comment="What became of every record. One row a committed batch and topic.",
)

REJECTED_EVENTS = Table(
    "rejected_events",
    METADATA,
    _key("topic", "Kafka topic"),
    _key("topic_id", "Kafka's id of the topic"),
    _key("partition", "Kafka partition", Integer()),
    _key("offset", "Kafka offset", BigInteger()),
    _text("reason", "Why it was rejected (see docs/events.md)", nullable=False),
    _text("field", "Field that the reason is about"),
    Column("key", LargeBinary, comment="Kafka key, as it was"),
    Column("raw", LargeBinary, comment="Value, as it was"),
    _time("arrived_at", "Arrival in Kafka"),
    Column(
        "rejected_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When the stream rejected it",
    ),
    _time(
        "replayed_at", "When `encore rejected replay` sent it again; NULL: not yet", nullable=True
    ),
    _text("replayed_to", "Kafka partition/offset, in the same topic, where it was sent again"),
    _time(
        "erased_at",
        "When key and value were erased, since they named a deleted user",
        nullable=True,
    ),
    CheckConstraint("(replayed_at IS NULL) = (replayed_to IS NULL)", name="replayed"),
    Index(None, "rejected_at"),
    Index(None, "reason"),
    comment="Records that break the contract, kept as they were. One row a record.",
)

SEEN_EVENTS = Table(
    "seen_events",
    METADATA,
    Column("segment", Uuid, primary_key=True, comment="Name of the segment"),
    _text("topic", "Kafka topic", nullable=False),
    Column("partition", Integer, nullable=False, comment="Kafka partition"),
    Column("events", BigInteger, nullable=False, comment="Ids in the segment"),
    Column(
        "newest_ms",
        BigInteger,
        nullable=False,
        comment="Arrival of the newest id, in ms since 1970-01-01 UTC",
    ),
    Column(
        "packed",
        LargeBinary,
        nullable=False,
        comment="Ids and arrivals, sorted and packed (see streaming/duplicates.py)",
    ),
    Index(None, "topic", "partition"),
    comment="Ids of the events accepted within the duplicate horizon, packed: what the stream "
    "recognises repeats by. One row a segment of a partition.",
)

FEATURE_SETTINGS = Table(
    "feature_settings",
    METADATA,
    _key("name", "Setting"),
    Column("value", Double, nullable=False, comment="Its value, in the unit of the setting"),
    comment="Settings that the stored features were built with: views read them, and the stream "
    "refuses others. One row a setting.",
)

ERASURES = Table(
    "erasures",
    METADATA,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the user's id"),
    _text("user_id", "Who; NULL once all of it is erased"),
    _text("topic_id", "Kafka's id of the events topic", nullable=False),
    Column(
        "until",
        JSONB,
        comment="Where each partition of the events ended when it was asked for: what is before "
        "that is erased as it is counted; NULL once it is",
    ),
    Column(
        "upto",
        JSONB,
        comment="Offset of each partition of the events before which the user's count for nobody",
    ),
    Column(
        "requested_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When the stream counted the deletion",
    ),
    _time("erased_at", "When all of it was erased", nullable=True),
    CheckConstraint(
        "(user_id IS NULL) = (erased_at IS NOT NULL) AND (user_id IS NULL) = (until IS NULL)",
        name="open",
    ),
    Index("ix_erasures_open", "digest", postgresql_where=text("user_id IS NOT NULL")),
    comment="Users who were deleted. What names them is gone; counts that name nobody stay. One "
    "row a user.",
)

# --- the recommender --------------------------------------------------------------------------

MODEL_RUNS = Table(
    "model_runs",
    METADATA,
    Column("model_run_id", BigInteger, Identity(), primary_key=True, comment="Number of the run"),
    _text("algorithm", "als, or fallback where there was too little data", nullable=False),
    _text("status", "running, published, superseded, refused or failed", nullable=False),
    Column("parameters", JSONB, nullable=False, comment="Parameters of the model"),
    Column("metrics", JSONB, comment="Quality on the newest part of the data, by model and metric"),
    Column("users", BigInteger, comment="Users in the training set"),
    Column("items", BigInteger, comment="Items in the training set"),
    Column("interactions", BigInteger, comment="User-item pairs in the training set"),
    _time("data_from", "Oldest interaction", nullable=True),
    _time("data_to", "Newest interaction", nullable=True),
    Column(
        "started_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="Start of the run",
    ),
    _time("published_at", "When readers were switched to it", nullable=True),
    Column("duration_seconds", Double, comment="From start to the switch, in s"),
    _text("message", "What a person should know of the run"),
    CheckConstraint(
        "status IN ('running', 'published', 'superseded', 'refused', 'failed')", name="status"
    ),
    comment="Runs of the recommender. One row a run.",
)

PUBLISHED_RUN = Table(
    "published_run",
    METADATA,
    Column(
        "singleton",
        SmallInteger,
        primary_key=True,
        server_default=text("1"),
        comment="Always 1: there is one published run",
    ),
    Column(
        "model_run_id",
        BigInteger,
        ForeignKey(MODEL_RUNS.c.model_run_id),
        nullable=False,
        comment="The run that readers see",
    ),
    CheckConstraint("singleton = 1", name="singleton"),
    Index(None, "model_run_id"),
    comment="Which run readers see. One row.",
)

RUN_SWITCHES = Table(
    "run_switches",
    METADATA,
    _time_key("switched_at", "When readers were switched"),
    Column(
        "model_run_id",
        BigInteger,
        autoincrement=False,
        nullable=False,
        comment="To which run, kept or not",
    ),
    comment="Which run readers saw when: each run that was published or taken back to. One row a "
    "switch.",
)

RECOMMENDATIONS = Table(
    "recommendations",
    METADATA,
    Column("model_run_id", BigInteger, primary_key=True, comment="Run that made it"),
    _key("user_id", "For whom"),
    Column("rank", SmallInteger, primary_key=True, comment="1 is the best"),
    _text("item_id", "What", nullable=False),
    Column("score", Double, nullable=False, comment="Score of its source; orders one list"),
    _text("source", "personal, explore, genre, trending or popular", nullable=False),
    _text("reason", "Why, for a person"),
    CheckConstraint("rank >= 1", name="rank"),
    comment="Recommendation lists, a partition a run. One row a run, user and rank.",
    postgresql_partition_by="LIST (model_run_id)",
)

SIMILAR_ITEMS = Table(
    "similar_items",
    METADATA,
    Column("model_run_id", BigInteger, primary_key=True, comment="Run that made it"),
    _key("item_id", "To what"),
    Column("rank", SmallInteger, primary_key=True, comment="1 is the most similar"),
    _text("similar_item_id", "What", nullable=False),
    Column(
        "score", Double, nullable=False, comment="1 where all of the sources have it first, to 0"
    ),
    _text("source", "What says so first: factors, co-listening or text", nullable=False),
    CheckConstraint("rank >= 1", name="rank"),
    comment="Items that are like an item, a partition a run. One row a run, item and rank.",
    postgresql_partition_by="LIST (model_run_id)",
)

AGE_POPULARITY = Table(
    "age_popularity",
    METADATA,
    _key(
        "birth_decade", "First year of the decade that the listeners were born in", SmallInteger()
    ),
    _key("rank", "1 is the most popular", SmallInteger()),
    _text("item_id", "What", nullable=False),
    Column("listeners", BigInteger, nullable=False, comment="Listeners who like it, 2 or more"),
    Column(
        "score",
        Double,
        nullable=False,
        comment="What they gave it, decayed to the newest event of the run, each listener one "
        "complete play at most",
    ),
    CheckConstraint("rank >= 1", name="rank"),
    comment="What is popular with listeners of an age, made anew with each run. One row a decade "
    "of birth and rank.",
)

MODEL_ARTIFACTS = Table(
    "model_artifacts",
    METADATA,
    Column(
        "model_run_id",
        BigInteger,
        ForeignKey(MODEL_RUNS.c.model_run_id, ondelete="CASCADE"),
        primary_key=True,
        comment="Run that made it",
    ),
    _key("name", "items.parquet, content.parquet or model.json"),
    Column("part", Integer, primary_key=True, comment="Number of the part of the file, from 0"),
    Column("content", LargeBinary, nullable=False, comment="Bytes of the part"),
    _text("sha256", "SHA-256 of the whole file", nullable=False),
    comment="Files of the models: item factors, content weights, parameters. One row a run, file "
    "and part.",
)

# --- lists between two runs, seconds after what a user did ------------------------------------

LIVE_QUEUE = Table(
    "live_queue",
    METADATA,
    _text("user_id", "Whose list is to be made anew", nullable=False),
    Column("bucket", SmallInteger, nullable=False, comment="live_bucket(user_id)"),
    Column(
        "bulk",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Whether it may wait until those who just did something are served",
    ),
    Column(
        "queued_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When it was put here",
    ),
    Index(None, "bulk", "bucket"),
    comment="Users whose list `encore live` is to make anew. The stream puts them here in the "
    "transaction that counts what they did, while a worker is registered. A user may stand here "
    "several times.",
)

LIVE_BUCKETS = Table(
    "live_buckets",
    METADATA,
    _key("bucket", "Number of the bucket, 0 to 63", SmallInteger()),
    comment="What workers of `encore live` lock, so that none has a user that another has in "
    "hand. One row a bucket of users.",
)

LIVE_WORKERS = Table(
    "live_workers",
    METADATA,
    _key("worker", "Start of the worker", Uuid()),
    Column(
        "seen_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When it last said that it works; registered for an hour from then",
    ),
    Column(
        "caught_up",
        Boolean,
        nullable=False,
        comment="Whether everything since the last time without a worker was queued when it "
        "registered",
    ),
    comment="Workers of `encore live`: while one is registered, the stream queues who did "
    "something. One row a start.",
)

LIVE_RECOMMENDATIONS = Table(
    "live_recommendations",
    METADATA,
    _key("user_id", "For whom"),
    Column(
        "model_run_id",
        BigInteger,
        nullable=False,
        comment="Run whose model made it: the list counts while that run is published. 0: no "
        "model was published",
    ),
    _time("made_at", "When it was made; what was counted before is in it"),
    _texts("item_ids", "What, best first; empty where nothing is known that the user likes"),
    Column(
        "scores", ARRAY(Double), nullable=False, comment="Score of each by its source, descending"
    ),
    _texts("sources", "Source of each"),
    _texts("reasons", "Reason of each, for a person"),
    CheckConstraint(
        "cardinality(scores) = cardinality(item_ids) "
        "AND cardinality(sources) = cardinality(item_ids) "
        "AND cardinality(reasons) = cardinality(item_ids)",
        name="lengths",
    ),
    comment="Lists made by `encore live` since the runs, which go before the run's own. One row "
    "a user.",
)

# --- the REST API -----------------------------------------------------------------------------

API_KEYS = Table(
    "api_keys",
    METADATA,
    _key("key_id", "Which key: its middle part, no secret"),
    _text("name", "Whose it is, or what for", nullable=False),
    _text("role", "read, write (and read) or admin", nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of its secret"),
    Column(
        "created_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="When it was made",
    ),
    _time("revoked_at", "When it was revoked; NULL: it counts", nullable=True),
    CheckConstraint("role IN ('read', 'write', 'admin')", name="role"),
    comment="Keys of the REST API, of which only digests are kept. One row a key.",
)

API_WRITES = Table(
    "api_writes",
    METADATA,
    Column("write_id", BigInteger, Identity(), primary_key=True, comment="Number of the call"),
    _time("called_at", "When it was answered"),
    _text("key_id", "Key that it was made with", nullable=False),
    _text("method", "Method of HTTP", nullable=False),
    _text("path", "What it was made to", nullable=False),
    Column("status", SmallInteger, nullable=False, comment="Status of the answer"),
    Column("records", Integer, nullable=False, comment="Records that Kafka acknowledged"),
    Index(None, "called_at"),
    comment="Calls of the REST API that write, whatever became of them. One row a call.",
)
