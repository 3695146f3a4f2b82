"""Every setting of Encore, declared once: type, default, unit and consequence.

A setting comes from the environment, then from ``.env`` in the working folder, then from its
default here. ``encore settings`` prints them all with their source; ``.env.example`` is
generated from this declaration and a test holds the two together.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from encore.errors import SettingsError
from encore.events import Topics

ENV_FILE = ".env"


class LogFormat(StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class TrainEngine(StrEnum):
    """What factorises."""

    MLLIB = "mllib"
    IMPLICIT = "implicit"
    AUTO = "auto"


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


Seconds = Annotated[float, Field(gt=0, json_schema_extra=_unit("s"))]
Minutes = Annotated[float, Field(gt=0, json_schema_extra=_unit("min"))]
Hours = Annotated[float, Field(gt=0, json_schema_extra=_unit("h"))]
Days = Annotated[float, Field(gt=0, json_schema_extra=_unit("d"))]
Count = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, le=1000)]


class Settings(BaseSettings):
    """All settings. The name of the environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    # --- services -------------------------------------------------------------------------
    kafka_bootstrap_servers: str = Field(
        "", description="Kafka brokers, host:port[,host:port]. Empty: the local stack's."
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL as postgresql://user:password@host:port/database. "
        "Empty: the local stack's.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Redis for ready answers of the API, as redis://:password@host:port/number. "
        "Empty: the local stack's where `encore up redis` started one, else none.",
    )
    encore_home: str = Field(
        "", description="Data, logs and checkpoints of the local stack. Empty: ./.encore"
    )
    encore_cache: str = Field(
        "", description="Fetched jars and server binaries. Empty: the user's cache folder."
    )
    kafka_port: int = Field(
        9092,
        ge=1,
        le=65535,
        description="Port the local broker and the Compose file prefer; "
        "the local stack takes a free one if it is in use.",
    )
    postgres_port: int = Field(
        5432,
        ge=1,
        le=65535,
        description="Port the local PostgreSQL and the Compose file prefer; "
        "the local stack takes a free one if it is in use.",
    )
    redis_port: int = Field(
        6379,
        ge=1,
        le=65535,
        description="Port the local Redis prefers; the local stack takes a free one if it is in "
        "use.",
    )
    postgres_user: str = Field("pyspark", description="Owner of the database in the local stack.")
    postgres_password: SecretStr = Field(
        SecretStr(""),
        description="Password of POSTGRES_USER. Empty: the local stack makes one of its own.",
    )
    postgres_stream_password: SecretStr = Field(
        SecretStr(""),
        description="Password of the role encore_stream, which `encore roles` makes. Empty: it "
        "makes none.",
    )
    postgres_train_password: SecretStr = Field(
        SecretStr(""), description="Password of the role encore_train. Empty: none is made."
    )
    postgres_serve_password: SecretStr = Field(
        SecretStr(""), description="Password of the role encore_serve. Empty: none is made."
    )
    postgres_db: str = Field("music_db", description="Database of the music domain.")

    # --- topics ---------------------------------------------------------------------------
    kafka_topic_prefix: str = Field(
        "music",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Topics are <prefix>.events, <prefix>.users and <prefix>.items.",
    )
    kafka_partitions: Count = Field(
        4, description="Partitions of each topic when it is created: the unit of parallelism."
    )
    kafka_replication_factor: Count = Field(
        1, description="Replicas of each topic when it is created."
    )
    kafka_retention_days: Days = Field(
        7.0, description="How long events stay in Kafka. Bounds what can be rebuilt from it."
    )

    # --- streaming ------------------------------------------------------------------------
    stream_trigger_seconds: Seconds = Field(
        0.5, description="Interval between micro-batches. Smaller is fresher and costs more."
    )
    stream_max_offsets_per_trigger: Count = Field(
        500_000,
        description="Most events in one micro-batch. Bounds memory while a backlog is worked off.",
    )
    stream_duplicate_horizon_hours: Hours = Field(
        24.0,
        description="A repeated event_id that arrives within this time of the first is dropped.",
    )
    stream_late_after_minutes: Minutes = Field(
        10.0, description="An event that arrives this long after it happened is counted as late."
    )
    stream_future_tolerance_minutes: Minutes = Field(
        5.0, description="An event further than this in the future of its arrival is rejected."
    )
    stream_patience_seconds: Seconds = Field(
        600.0,
        description="How long a batch is tried again while PostgreSQL or Kafka is away, before "
        "the job ends. Of encore live as well.",
    )
    stream_lock_timeout_seconds: Seconds = Field(
        30.0,
        description="How long a merge waits for somebody else's lock before the batch is tried "
        "again.",
    )
    stream_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the job's Prometheus metrics (/metrics). 0: none.",
    )
    stream_metrics_host: str = Field(
        "127.0.0.1", description="Address that the metrics answer on. 0.0.0.0: any."
    )
    stream_consumer_group: str = Field(
        "encore-stream",
        description="Kafka consumer group that shows the counted offsets to lag tools. The job "
        "itself never reads it. Empty: none.",
    )
    stream_fault: str = Field(
        "",
        description="For fault tests: point[:n] at which the job kills itself "
        "(before-staging, before-commit, after-commit, in-copy). Empty: never.",
    )

    # --- features -------------------------------------------------------------------------
    feature_session_timeout_minutes: Minutes = Field(
        30.0, description="A session without an event for this long is closed."
    )
    feature_affinity_half_life_days: Days = Field(
        30.0, description="A listener's signal for an item halves in this time."
    )
    feature_trend_half_life_hours: Hours = Field(
        6.0, description="A play's weight in the trends halves in this time."
    )
    feature_complete_ratio: float = Field(
        0.9, gt=0, le=1, description="Share of a track from which a play counts as complete."
    )
    feature_skip_ratio: float = Field(
        0.3, ge=0, lt=1, description="Share of a track below which a play counts as a skip."
    )
    feature_keep_5m_days: float = Field(
        0.0,
        ge=0,
        json_schema_extra=_unit("d"),
        description="Item activity by 5 minutes folds into hours when it is this old. "
        "0: kept for ever.",
    )
    feature_keep_hours_days: float = Field(
        0.0,
        ge=0,
        json_schema_extra=_unit("d"),
        description="Item activity by the hour folds into days when it is this old. "
        "0: kept for ever.",
    )
    feature_outcome_window_hours: Hours = Field(
        24.0, description="A play or like within this time of an impression is counted for it."
    )
    feature_outcome_lateness_hours: Hours = Field(
        24.0,
        description="How much later than within that time a play or like may arrive and still "
        "count for an impression. Impressions are kept for both together.",
    )
    weight_like: Weight = Field(2.0, description="Signal of a like, in complete plays.")
    weight_playlist_add: Weight = Field(
        3.0, description="Signal of adding to a playlist, in complete plays."
    )

    # --- recommender ----------------------------------------------------------------------
    recommend_top_n: Count = Field(50, description="Recommendations kept for each listener.")
    recommend_keep_runs: Count = Field(5, description="Model runs kept for rollback.")
    recommend_similar_n: Count = Field(20, description="Similar items kept for each item.")
    recommend_blend: bool = Field(
        True,
        description="Order lists by learned weights of several signals where that proves better "
        "than ALS alone.",
    )
    recommend_max_per_artist: int = Field(
        10, ge=0, description="Most items of one artist in a list. 0: no limit."
    )
    recommend_max_per_genre: int = Field(
        0, ge=0, description="Most items of one genre in a list. 0: no limit."
    )
    recommend_diversity: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="How much likeness to items above it counts against an item (MMR). 0: not.",
    )
    recommend_exploration: float = Field(
        0.04, ge=0, lt=0.5, description="Share of a list for items that hardly anyone has heard."
    )
    als_rank: Count = Field(32, description="Length of the factor vectors.")
    als_iterations: Count = Field(10, description="Sweeps of alternating least squares.")
    als_regularization: float = Field(
        0.1,
        gt=0,
        description="Regularisation. MLlib multiplies it by the items that a listener has, "
        "implicit does not.",
    )
    als_alpha: float = Field(10.0, gt=0, description="Confidence per unit of signal.")
    als_blocks: Count = Field(
        4, description="Blocks of users and of items: the parallelism of a fit, part of its seed."
    )
    train_engine: TrainEngine = Field(
        TrainEngine.MLLIB,
        description="mllib, on Spark; implicit, on this machine alone and faster; auto: implicit "
        "up to TRAIN_LOCAL_PAIRS.",
    )
    train_local_pairs: Count = Field(
        20_000_000, description="Listener-item pairs up to which auto trains on this machine."
    )
    train_gate_hours: Hours = Field(
        24.0,
        description="A run is not published if it is clearly worse than a published one that is "
        "younger than this.",
    )
    train_min_interactions: Count = Field(
        1000, description="Positive listener-item pairs below which no model is trained."
    )
    train_test_share: float = Field(
        0.1, gt=0, lt=0.5, description="Newest share of the pairs held out to evaluate a model."
    )
    live_batch_users: Count = Field(
        500, description="Most listeners whose lists encore live makes in one transaction."
    )
    live_lanes: Count = Field(
        2,
        description="Batches that one encore live has under way at once, each on a connection of "
        "its own: while one waits for PostgreSQL, another computes.",
    )
    live_poll_seconds: Seconds = Field(
        2.0, description="encore live looks for work this often when nothing wakes it."
    )
    live_catalogue_seconds: Seconds = Field(
        300.0, description="encore live looks for items that came since after this long."
    )

    # --- serving --------------------------------------------------------------------------
    serve_host: str = Field(
        "127.0.0.1", description="Address that the API answers on. 0.0.0.0: any."
    )
    serve_port: int = Field(
        8000, ge=0, le=65535, description="Port that the API answers on. 0: a free one."
    )
    serve_connections: Count = Field(
        8, description="Most connections of one API process to PostgreSQL."
    )
    serve_timeout_seconds: Seconds = Field(
        10.0,
        description="A request that PostgreSQL does not answer in this time is given up (503).",
    )
    serve_delivery_seconds: Seconds = Field(
        10.0,
        description="Written records that Kafka does not take in this time are given up (503).",
    )
    serve_rate_per_second: int = Field(
        1000, ge=0, description="Most requests of one key, by process (429). 0: no limit."
    )
    serve_streams_per_key: int = Field(
        32,
        ge=0,
        description="Most streams (server-sent events) that one key may have open at a "
        "process (429). 0: no limit.",
    )
    serve_max_request_bytes: Count = Field(8_388_608, description="A larger body is refused (413).")
    serve_key_seconds: Seconds = Field(
        5.0, description="A key that is revoked stops to count within this time."
    )
    serve_cache_seconds: Seconds = Field(
        30.0,
        description="An answer kept in Redis, and what the API remembers of an item, is never "
        "older than this, whatever is not forgotten.",
    )
    serve_cors_origins: str = Field(
        "",
        description="Pages that may call the API from a browser: origins such as "
        "https://shop.example, separated by commas. Empty: none.",
    )

    # --- doctor ---------------------------------------------------------------------------
    doctor_api_url: str = Field(
        "",
        pattern=r"^(https?://[^/].*)?$",
        description="The API that encore doctor asks, such as https://api.example. Empty: the one "
        "at SERVE_HOST and SERVE_PORT.",
    )
    doctor_api_key: SecretStr = Field(
        SecretStr(""),
        description="A key of encore keys make, by which encore doctor asks the API for a list. "
        "Empty: it asks for its health alone.",
    )

    # --- Spark ----------------------------------------------------------------------------
    spark_master: str = Field("local[*]", description="Master for encore stream and train.")
    spark_driver_memory: str = Field(
        "2g", pattern=r"^\d+[mg]$", description="Heap of a Spark driver."
    )

    # --- logging --------------------------------------------------------------------------
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="console, json, or auto: console on a terminal, else json."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="Least severity that is logged.")

    @property
    def topics(self) -> Topics:
        """Return the topics that the parts meet on."""
        return Topics.of(self.kafka_topic_prefix)


class SettingRow(NamedTuple):
    """One setting as ``encore settings`` prints it. Secrets are already hidden."""

    name: str
    value: str
    default: str
    unit: str
    source: str
    description: str


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; raise :class:`SettingsError` naming each bad key and its value."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error))) from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return load_settings()


def describe_settings(
    current: Settings, environ: Mapping[str, str] | None = None, env_file: str = ENV_FILE
) -> list[SettingRow]:
    """List every setting with value, default, unit and source, secrets hidden."""
    in_environment = {key.upper() for key in (os.environ if environ is None else environ)}
    in_file = {key.upper() for key in dotenv_values(env_file)}
    return [
        SettingRow(
            name=name.upper(),
            value=_show(getattr(current, name)),
            default=_show(field.default),
            unit=unit_of(field),
            source=_source(name.upper(), in_environment, in_file),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def redacted(current: Settings) -> dict[str, str]:
    """Return every setting by name, secrets hidden: what a job logs when it starts."""
    return {name: _show(getattr(current, name)) for name in Settings.model_fields}


def unit_of(field: FieldInfo) -> str:
    """Return the unit of a setting, or an empty string where it has none."""
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) and "unit" in extra else ""


def _show(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return str(value)


def _source(name: str, in_environment: set[str], in_file: set[str]) -> str:
    if name in in_environment:
        return "environment"
    return ENV_FILE if name in in_file else "default"


def _explain(error: ValidationError) -> list[str]:
    return [_explain_one(dict(one)) for one in error.errors()]


def _explain_one(one: dict[str, Any]) -> str:
    name = str(one["loc"][0])
    field = Settings.model_fields.get(name)
    secret = field is not None and field.annotation is SecretStr
    value = "********" if secret else repr(one["input"])
    return f"{name.upper()}={value} is not allowed: {one['msg']}. See `encore settings`."
