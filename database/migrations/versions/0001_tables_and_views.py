"""Tables of the stream and the recommender, and the views over them."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = (
    "artists",
    "feature_settings",
    "genres",
    "ingest_audit",
    "item_counts_5m",
    "item_counts_day",
    "item_counts_hour",
    "item_factors",
    "item_listeners",
    "item_trends",
    "minute_users",
    "model_runs",
    "platform_activity_minute",
    "recommendations",
    "rejected_events",
    "session_counts",
    "stream_offsets",
    "user_counts_day",
    "user_item_affinity",
    "users",
    "albums",
    "published_run",
    "items",
    "item_genres",
)
VIEWS = Path(__file__).parents[1] / "sql" / "0001_views.sql"


def upgrade() -> None:
    """Apply."""
    op.execute("CREATE SCHEMA IF NOT EXISTS staging")
    op.create_table(
        "artists",
        sa.Column("artist_id", sa.Text(), nullable=False, comment="Who"),
        sa.Column("name", sa.Text(), nullable=True, comment="Name"),
        sa.PrimaryKeyConstraint("artist_id", name=op.f("pk_artists")),
        comment="Artists of the items. One row an artist.",
    )
    op.create_table(
        "feature_settings",
        sa.Column("name", sa.Text(), nullable=False, comment="Setting"),
        sa.Column(
            "value", sa.Double(), nullable=False, comment="Its value, in the unit of the setting"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feature_settings")),
        comment="Settings that the stored features were built with: views read them, and the stream refuses others. One row a setting.",
    )
    op.create_table(
        "genres",
        sa.Column("genre", sa.Text(), nullable=False, comment="Name of the genre"),
        sa.PrimaryKeyConstraint("genre", name=op.f("pk_genres")),
        comment="Genres that an item has had. One row a genre.",
    )
    op.create_table(
        "ingest_audit",
        sa.Column(
            "batch",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="Number of the batch",
        ),
        sa.Column("topic", sa.Text(), nullable=False, comment="Kafka topic"),
        sa.Column(
            "run_id", sa.Uuid(), nullable=False, comment="Start of the streaming job that wrote it"
        ),
        sa.Column(
            "spark_batch",
            sa.BigInteger(),
            nullable=False,
            comment="Spark's own number of the batch",
        ),
        sa.Column(
            "from_offsets",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="First offset of each partition",
        ),
        sa.Column(
            "to_offsets",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Offset after the last, of each partition",
        ),
        sa.Column(
            "read",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records read = accepted + duplicate + rejected",
        ),
        sa.Column(
            "accepted",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records counted into the tables",
        ),
        sa.Column(
            "late",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Of the accepted: late ones",
        ),
        sa.Column(
            "duplicate",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records dropped as repeats",
        ),
        sa.Column(
            "rejected",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records kept in rejected_events",
        ),
        sa.Column(
            "phases",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Time of each step of the batch, in ms",
        ),
        sa.Column(
            "committed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the batch was committed",
        ),
        sa.CheckConstraint(
            "read = accepted + duplicate + rejected", name=op.f("ck_ingest_audit_closes")
        ),
        sa.PrimaryKeyConstraint("batch", name=op.f("pk_ingest_audit")),
        comment="What became of every record. One row a committed batch and topic.",
    )
    op.create_index(
        op.f("ix_ingest_audit_committed_at"), "ingest_audit", ["committed_at"], unique=False
    )
    op.create_table(
        "item_counts_5m",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "bucket_start",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the 5 minutes, UTC",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of at least FEATURE_COMPLETE_RATIO of the track",
        ),
        sa.Column(
            "skips",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of less than FEATURE_SKIP_RATIO of the track",
        ),
        sa.Column(
            "likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Likes"
        ),
        sa.Column(
            "unlikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Likes taken back",
        ),
        sa.Column(
            "dislikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Dislikes",
        ),
        sa.Column(
            "playlist_adds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a playlist",
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.PrimaryKeyConstraint("item_id", "bucket_start", name=op.f("pk_item_counts_5m")),
        comment="Item activity as counted. One row an item and 5 minutes of event time.",
    )
    op.create_index(
        op.f("ix_item_counts_5m_bucket_start"), "item_counts_5m", ["bucket_start"], unique=False
    )
    op.create_table(
        "item_counts_day",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "bucket_start",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the day, UTC",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of at least FEATURE_COMPLETE_RATIO of the track",
        ),
        sa.Column(
            "skips",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of less than FEATURE_SKIP_RATIO of the track",
        ),
        sa.Column(
            "likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Likes"
        ),
        sa.Column(
            "unlikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Likes taken back",
        ),
        sa.Column(
            "dislikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Dislikes",
        ),
        sa.Column(
            "playlist_adds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a playlist",
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.PrimaryKeyConstraint("item_id", "bucket_start", name=op.f("pk_item_counts_day")),
        comment="Item activity as counted. One row an item and day of event time.",
    )
    op.create_index(
        op.f("ix_item_counts_day_bucket_start"), "item_counts_day", ["bucket_start"], unique=False
    )
    op.create_table(
        "item_counts_hour",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "bucket_start",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the hour, UTC",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of at least FEATURE_COMPLETE_RATIO of the track",
        ),
        sa.Column(
            "skips",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of less than FEATURE_SKIP_RATIO of the track",
        ),
        sa.Column(
            "likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Likes"
        ),
        sa.Column(
            "unlikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Likes taken back",
        ),
        sa.Column(
            "dislikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Dislikes",
        ),
        sa.Column(
            "playlist_adds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a playlist",
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.PrimaryKeyConstraint("item_id", "bucket_start", name=op.f("pk_item_counts_hour")),
        comment="Item activity as counted. One row an item and hour of event time.",
    )
    op.create_index(
        op.f("ix_item_counts_hour_bucket_start"), "item_counts_hour", ["bucket_start"], unique=False
    )
    op.create_table(
        "item_factors",
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment="Run that made it"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "factors", postgresql.ARRAY(sa.REAL()), nullable=False, comment="Vector of length rank"
        ),
        sa.PrimaryKeyConstraint("model_run_id", "item_id", name=op.f("pk_item_factors")),
        comment="Item vectors of the ALS model, a partition a run. One row a run and item.",
        postgresql_partition_by="LIST (model_run_id)",
    )
    op.create_table(
        "item_listeners",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "bucket_start",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the 5 minutes, UTC",
        ),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who played it"),
        sa.PrimaryKeyConstraint(
            "item_id", "bucket_start", "user_id", name=op.f("pk_item_listeners")
        ),
        comment="Who played an item in which 5 minutes: makes distinct listeners exact. One row an item, 5 minutes and user.",
    )
    op.create_table(
        "item_trends",
        sa.Column(
            "country", sa.Text(), nullable=False, comment="Country of the plays; empty: everywhere"
        ),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "score",
            sa.Double(),
            nullable=False,
            comment="Sum of the signals, each halved for every FEATURE_TREND_HALF_LIFE_HOURS between it and as_of; in complete plays",
        ),
        sa.Column(
            "as_of", sa.DateTime(timezone=True), nullable=False, comment="Newest event in the score"
        ),
        sa.Column(
            "heat",
            sa.Double(),
            nullable=True,
            comment="log2(score) + as_of / half-life: orders items by their decayed score at any moment. NULL where the score is not positive",
        ),
        sa.PrimaryKeyConstraint("country", "item_id", name=op.f("pk_item_trends")),
        comment="Exponentially decayed popularity. One row an item and country, and one everywhere.",
    )
    op.create_index(
        "ix_item_trends_heat",
        "item_trends",
        ["country", sa.literal_column("heat DESC NULLS LAST")],
        unique=False,
    )
    op.create_table(
        "minute_users",
        sa.Column(
            "minute",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the minute of event time, UTC",
        ),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who was active"),
        sa.PrimaryKeyConstraint("minute", "user_id", name=op.f("pk_minute_users")),
        comment="Who was active in which minute: makes active users exact. One row a minute and user.",
    )
    op.create_table(
        "model_runs",
        sa.Column(
            "model_run_id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="Number of the run",
        ),
        sa.Column(
            "algorithm",
            sa.Text(),
            nullable=False,
            comment="als, or fallback where there was too little data",
        ),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="running, published, superseded or failed"
        ),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Parameters of the model",
        ),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Quality on the newest part of the data, by model and metric",
        ),
        sa.Column("users", sa.BigInteger(), nullable=True, comment="Users in the training set"),
        sa.Column("items", sa.BigInteger(), nullable=True, comment="Items in the training set"),
        sa.Column(
            "interactions",
            sa.BigInteger(),
            nullable=True,
            comment="User-item pairs in the training set",
        ),
        sa.Column(
            "data_from", sa.DateTime(timezone=True), nullable=True, comment="Oldest interaction"
        ),
        sa.Column(
            "data_to", sa.DateTime(timezone=True), nullable=True, comment="Newest interaction"
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Start of the run",
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When readers were switched to it",
        ),
        sa.Column(
            "duration_seconds", sa.Double(), nullable=True, comment="From start to the switch, in s"
        ),
        sa.Column(
            "message", sa.Text(), nullable=True, comment="What a person should know of the run"
        ),
        sa.CheckConstraint(
            "status IN ('running', 'published', 'superseded', 'failed')",
            name=op.f("ck_model_runs_status"),
        ),
        sa.PrimaryKeyConstraint("model_run_id", name=op.f("pk_model_runs")),
        comment="Runs of the recommender. One row a run.",
    )
    op.create_table(
        "platform_activity_minute",
        sa.Column(
            "minute",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the minute of event time, UTC",
        ),
        sa.Column("event_type", sa.Text(), nullable=False, comment="What happened"),
        sa.Column("country", sa.Text(), nullable=False, comment="Country; empty: not given"),
        sa.Column("device", sa.Text(), nullable=False, comment="Kind of device; empty: not given"),
        sa.Column("level", sa.Text(), nullable=False, comment="free or paid; empty: not given"),
        sa.Column(
            "events", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Events"
        ),
        sa.PrimaryKeyConstraint(
            "minute",
            "event_type",
            "country",
            "device",
            "level",
            name=op.f("pk_platform_activity_minute"),
        ),
        comment="Events of the platform. One row a minute, event type, country, device and level.",
    )
    op.create_table(
        "recommendations",
        sa.Column("model_run_id", sa.BigInteger(), nullable=False, comment="Run that made it"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="For whom"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="1 is the best"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "score", sa.Double(), nullable=False, comment="Score of its source; orders one list"
        ),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="personal, genre, trending or popular"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="Why, for a person"),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_recommendations_rank")),
        sa.PrimaryKeyConstraint("model_run_id", "user_id", "rank", name=op.f("pk_recommendations")),
        comment="Recommendation lists, a partition a run. One row a run, user and rank.",
        postgresql_partition_by="LIST (model_run_id)",
    )
    op.create_table(
        "rejected_events",
        sa.Column("topic", sa.Text(), nullable=False, comment="Kafka topic"),
        sa.Column("topic_id", sa.Text(), nullable=False, comment="Kafka's id of the topic"),
        sa.Column("partition", sa.Integer(), nullable=False, comment="Kafka partition"),
        sa.Column("offset", sa.BigInteger(), nullable=False, comment="Kafka offset"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="Why it was rejected (see docs/events.md)"
        ),
        sa.Column("field", sa.Text(), nullable=True, comment="Field that the reason is about"),
        sa.Column("key", sa.LargeBinary(), nullable=True, comment="Kafka key, as it was"),
        sa.Column("raw", sa.LargeBinary(), nullable=True, comment="Value, as it was"),
        sa.Column(
            "arrived_at", sa.DateTime(timezone=True), nullable=False, comment="Arrival in Kafka"
        ),
        sa.Column(
            "rejected_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the stream rejected it",
        ),
        sa.PrimaryKeyConstraint(
            "topic", "topic_id", "partition", "offset", name=op.f("pk_rejected_events")
        ),
        comment="Records that break the contract, kept as they were. One row a record.",
    )
    op.create_index(op.f("ix_rejected_events_reason"), "rejected_events", ["reason"], unique=False)
    op.create_index(
        op.f("ix_rejected_events_rejected_at"), "rejected_events", ["rejected_at"], unique=False
    )
    op.create_table(
        "session_counts",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who"),
        sa.Column("session_id", sa.Text(), nullable=False, comment="Visit, unique for its user"),
        sa.Column(
            "events",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of every type",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Complete plays",
        ),
        sa.Column(
            "skips", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Skips"
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="First event"),
        sa.Column(
            "last_event_at", sa.DateTime(timezone=True), nullable=False, comment="Last event so far"
        ),
        sa.Column(
            "logged_out_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Last logout, if there was one",
        ),
        sa.PrimaryKeyConstraint("user_id", "session_id", name=op.f("pk_session_counts")),
        comment="Visits as counted. One row a user and session.",
    )
    op.create_index(
        op.f("ix_session_counts_last_event_at"), "session_counts", ["last_event_at"], unique=False
    )
    op.create_table(
        "stream_offsets",
        sa.Column("topic", sa.Text(), nullable=False, comment="Kafka topic"),
        sa.Column(
            "topic_id",
            sa.Text(),
            nullable=False,
            comment="Kafka's id of the topic: another one means it was deleted and recreated",
        ),
        sa.Column("partition", sa.Integer(), nullable=False, comment="Kafka partition"),
        sa.Column("first_offset", sa.BigInteger(), nullable=False, comment="Where counting began"),
        sa.Column(
            "next_offset", sa.BigInteger(), nullable=False, comment="First offset not yet counted"
        ),
        sa.Column(
            "accepted",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records counted into the tables since first_offset",
        ),
        sa.Column(
            "late",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Of the accepted: arrived STREAM_LATE_AFTER_MINUTES or more after they happened",
        ),
        sa.Column(
            "duplicate",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records dropped as repeats since first_offset",
        ),
        sa.Column(
            "rejected",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Records kept in rejected_events since first_offset",
        ),
        sa.Column(
            "arrived_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Arrival in Kafka of the newest counted record",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When this row last moved",
        ),
        sa.CheckConstraint("next_offset >= first_offset", name=op.f("ck_stream_offsets_forward")),
        sa.PrimaryKeyConstraint("topic", "topic_id", "partition", name=op.f("pk_stream_offsets")),
        comment="How far each partition is counted into the tables, written in the transaction that counts it. One row a partition.",
    )
    op.create_table(
        "user_counts_day",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who"),
        sa.Column("day", sa.Date(), nullable=False, comment="Day of event time, UTC"),
        sa.Column(
            "events",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of every type",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of at least FEATURE_COMPLETE_RATIO of the track",
        ),
        sa.Column(
            "skips",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of less than FEATURE_SKIP_RATIO of the track",
        ),
        sa.Column(
            "likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Likes"
        ),
        sa.Column(
            "unlikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Likes taken back",
        ),
        sa.Column(
            "dislikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Dislikes",
        ),
        sa.Column(
            "playlist_adds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a playlist",
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.Column(
            "first_at", sa.DateTime(timezone=True), nullable=False, comment="First event of the day"
        ),
        sa.Column(
            "last_at", sa.DateTime(timezone=True), nullable=False, comment="Last event of the day"
        ),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f("pk_user_counts_day")),
        comment="User activity as counted. One row a user and day of event time.",
    )
    op.create_index(op.f("ix_user_counts_day_day"), "user_counts_day", ["day"], unique=False)
    op.create_table(
        "user_item_affinity",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who"),
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column(
            "signal",
            sa.Double(),
            nullable=False,
            comment="Sum of the share of the track played (a skip gives 0), WEIGHT_LIKE a like, minus that an unlike, WEIGHT_PLAYLIST_ADD a playlist addition, each halved for every FEATURE_AFFINITY_HALF_LIFE_DAYS between it and last_at; in complete plays",
        ),
        sa.Column(
            "plays",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays that ended",
        ),
        sa.Column(
            "completes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of at least FEATURE_COMPLETE_RATIO of the track",
        ),
        sa.Column(
            "skips",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Plays of less than FEATURE_SKIP_RATIO of the track",
        ),
        sa.Column(
            "likes", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Likes"
        ),
        sa.Column(
            "unlikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Likes taken back",
        ),
        sa.Column(
            "dislikes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Dislikes",
        ),
        sa.Column(
            "playlist_adds",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a playlist",
        ),
        sa.Column(
            "ms_played",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Time played, in ms",
        ),
        sa.Column(
            "first_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="First event of the user with the item",
        ),
        sa.Column(
            "last_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Last event of the user with the item",
        ),
        sa.PrimaryKeyConstraint("user_id", "item_id", name=op.f("pk_user_item_affinity")),
        comment="What a user gave an item: what the recommender trains on. One row a user and item.",
    )
    op.create_index(
        op.f("ix_user_item_affinity_item_id"), "user_item_affinity", ["item_id"], unique=False
    )
    op.create_index(
        op.f("ix_user_item_affinity_last_at"), "user_item_affinity", ["last_at"], unique=False
    )
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who"),
        sa.Column("name", sa.Text(), nullable=True, comment="Full name"),
        sa.Column("birth_year", sa.SmallInteger(), nullable=True, comment="Year of birth"),
        sa.Column("gender", sa.Text(), nullable=True, comment="As the user gave it"),
        sa.Column("city", sa.Text(), nullable=True, comment="City"),
        sa.Column("country", sa.Text(), nullable=True, comment="ISO 3166-1 alpha-2 code"),
        sa.Column("time_zone", sa.Text(), nullable=True, comment="IANA time zone"),
        sa.Column("device", sa.Text(), nullable=True, comment="Usual kind of device"),
        sa.Column("level", sa.Text(), nullable=True, comment="free or paid"),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the user registered",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When this version was made",
        ),
        sa.CheckConstraint("level IN ('free', 'paid')", name=op.f("ck_users_level")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
        comment="Users as last announced on the users topic. One row a user.",
    )
    op.create_index(op.f("ix_users_country"), "users", ["country"], unique=False)
    op.create_table(
        "albums",
        sa.Column("album_id", sa.Text(), nullable=False, comment="Album"),
        sa.Column("title", sa.Text(), nullable=True, comment="Title"),
        sa.Column("artist_id", sa.Text(), nullable=True, comment="Whose album it is"),
        sa.ForeignKeyConstraint(
            ["artist_id"], ["artists.artist_id"], name=op.f("fk_albums_artist_id")
        ),
        sa.PrimaryKeyConstraint("album_id", name=op.f("pk_albums")),
        comment="Albums of the items. One row an album.",
    )
    op.create_index(op.f("ix_albums_artist_id"), "albums", ["artist_id"], unique=False)
    op.create_table(
        "published_run",
        sa.Column(
            "singleton",
            sa.SmallInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="Always 1: there is one published run",
        ),
        sa.Column(
            "model_run_id", sa.BigInteger(), nullable=False, comment="The run that readers see"
        ),
        sa.CheckConstraint("singleton = 1", name=op.f("ck_published_run_singleton")),
        sa.ForeignKeyConstraint(
            ["model_run_id"],
            ["model_runs.model_run_id"],
            name=op.f("fk_published_run_model_run_id"),
        ),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_published_run")),
        comment="Which run readers see. One row.",
    )
    op.create_index(
        op.f("ix_published_run_model_run_id"), "published_run", ["model_run_id"], unique=False
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column("title", sa.Text(), nullable=False, comment="Title"),
        sa.Column("artist_id", sa.Text(), nullable=True, comment="Main artist"),
        sa.Column("album_id", sa.Text(), nullable=True, comment="Album it is on"),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True, comment="Length in ms"),
        sa.Column(
            "released_at", sa.DateTime(timezone=True), nullable=True, comment="When it came out"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When this version was made",
        ),
        sa.CheckConstraint("duration_ms > 0", name=op.f("ck_items_duration")),
        sa.ForeignKeyConstraint(["album_id"], ["albums.album_id"], name=op.f("fk_items_album_id")),
        sa.ForeignKeyConstraint(
            ["artist_id"], ["artists.artist_id"], name=op.f("fk_items_artist_id")
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_items")),
        comment="Items (tracks) as last announced on the items topic. One row an item.",
    )
    op.create_index(op.f("ix_items_album_id"), "items", ["album_id"], unique=False)
    op.create_index(op.f("ix_items_artist_id"), "items", ["artist_id"], unique=False)
    op.create_table(
        "item_genres",
        sa.Column("item_id", sa.Text(), nullable=False, comment="What"),
        sa.Column("genre", sa.Text(), nullable=False, comment="Its genre"),
        sa.Column(
            "position", sa.SmallInteger(), nullable=False, comment="1 is the most fitting genre"
        ),
        sa.ForeignKeyConstraint(["genre"], ["genres.genre"], name=op.f("fk_item_genres_genre")),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.item_id"], name=op.f("fk_item_genres_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "genre", name=op.f("pk_item_genres")),
        comment="Genres of the items. One row an item and genre.",
    )
    op.create_index(
        op.f("ix_item_genres_genre_item_id"), "item_genres", ["genre", "item_id"], unique=False
    )
    op.execute(VIEWS.read_text(encoding="utf-8"))


def downgrade() -> None:
    """Take back."""
    for table in TABLES:
        op.execute(f"DROP TABLE {table} CASCADE")
    op.execute("DROP FUNCTION heat(double precision, timestamptz, double precision)")
    op.execute("DROP FUNCTION feature_setting(text)")
    op.execute("DROP FUNCTION halved(double precision, interval, double precision)")
    op.execute("DROP SCHEMA staging CASCADE")
