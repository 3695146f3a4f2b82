"""What `encore live` runs: a worker with the settings, until it is stopped."""

from contextlib import closing
from functools import partial

from database.migrate import require_newest
from encore.cache import Forgetter, namespace
from encore.log import get_logger
from encore.settings import Settings, redacted
from encore.stack.endpoints import redact_url
from recommender.live.folded import load_folded
from recommender.live.stopping import Stop
from recommender.live.worker import Load, Pace, Worker
from recommender.rules import Rules

log = get_logger("live")


def run(url: str, redis: str, settings: Settings, *, once: bool) -> None:
    """Work until SIGTERM or Ctrl-C, or with ``once`` until nobody is queued.

    ``redis`` is where ready answers are kept, empty where they are not.

    Raises:
        EncoreError: PostgreSQL does not answer, or lacks tables.
    """
    require_newest(url)
    log.info("settings", **redacted(settings))
    log.info("starting", database=redact_url(url), redis=redact_url(redis))
    stop = Stop()
    stop.on_signals()
    with closing(Forgetter(redis, namespace(url))) as forgetter:
        Worker(url, loader(settings), pace_of(settings), stop, forgetter.forget).run(once=once)
    log.info("stopped")


def loader(settings: Settings) -> Load:
    """Return what loads the published model."""
    return partial(
        load_folded,
        rules=Rules.of(settings),
        half_life_days=settings.feature_affinity_half_life_days,
    )


def pace_of(settings: Settings) -> Pace:
    """Take from the settings how much is done at once, and how long is waited."""
    return Pace(
        batch_users=settings.live_batch_users,
        list_items=settings.recommend_top_n,
        poll_seconds=settings.live_poll_seconds,
        catalogue_seconds=settings.live_catalogue_seconds,
        patience_seconds=settings.stream_patience_seconds,
        lock_timeout_seconds=settings.stream_lock_timeout_seconds,
        lanes=settings.live_lanes,
    )
