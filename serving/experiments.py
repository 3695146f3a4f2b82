"""Experiments: who is shown which variant, made, listed, stopped.

Nothing is stored of an assignment. A user's bucket is the first 32 bits of the SHA-256 of
``experiment:user`` (UTF-8), modulo 10,000; a variant is shown to a range of buckets. So a user
sees the same variant everywhere and always, and those of two experiments are independent.
``experiment_bucket`` says the same in SQL.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from psycopg2 import errors, extensions
from psycopg2.extras import execute_values

from encore.errors import EncoreError, UsageError

BUCKETS: Final = 10_000
SOURCES: Final = ("personal", "explore", "genre", "trending", "popular")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_CAPS: Final = ("max_per_artist", "max_per_genre")


@dataclass(frozen=True, slots=True)
class Variant:
    """What is shown to the users of a range of buckets. A cap of 0 is none."""

    experiment: str
    name: str
    bucket_from: int = 0
    bucket_to: int = 0
    model_run_id: int | None = None
    max_per_artist: int = 0
    max_per_genre: int = 0
    without: Sequence[str] = ()

    @property
    def label(self) -> str:
        """Return what impressions and answers call it."""
        return f"{self.experiment}:{self.name}"


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as it is on record, with its variants in their order."""

    name: str
    started_at: datetime
    stopped_at: datetime | None
    variants: Sequence[Variant] = field(default_factory=tuple)


def bucket(experiment: str, user_id: str) -> int:
    """Return the bucket of a user in an experiment."""
    digest = hashlib.sha256(f"{experiment}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % BUCKETS


def assigned(variants: Sequence[Variant], user_id: str) -> Variant | None:
    """Return the variant of a user, from those of one experiment."""
    if not variants:
        return None
    mine = bucket(variants[0].experiment, user_id)
    return next((one for one in variants if one.bucket_from <= mine < one.bucket_to), None)


def parse(experiment: str, texts: Sequence[str]) -> list[Variant]:
    """Return variants from ``NAME[:run=7,max_per_artist=2,without=explore+genre,share=0.2]``.

    Those without a share divide among them what the others leave.

    Raises:
        UsageError: one cannot be read, or there are fewer than two.
    """
    _check_name("NAME", experiment)
    if len(texts) < 2:
        raise UsageError("an experiment takes two variants at least: --variant control --variant b")
    found = [_parse_one(experiment, text) for text in texts]
    names = [variant.name for variant, _ in found]
    if len(set(names)) < len(names):
        raise UsageError(f"--variant: two variants are called alike, of {', '.join(names)}")
    return _with_buckets([one for one, _ in found], [share for _, share in found])


def _parse_one(experiment: str, text: str) -> tuple[Variant, float | None]:
    name, _, rest = text.partition(":")
    _check_name("--variant", name)
    options = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    known = {"run", "without", "share", *_CAPS}
    if unknown := sorted(options.keys() - known):
        raise UsageError(
            f"--variant {text}: {unknown[0]} is not known. There is: {', '.join(sorted(known))}."
        )
    try:
        run = int(options["run"]) if "run" in options else None
        caps = {cap: int(options.get(cap, 0)) for cap in _CAPS}
        share = float(options["share"]) if "share" in options else None
    except ValueError:
        raise UsageError(f"--variant {text}: a number cannot be read.") from None
    without = tuple(filter(None, options.get("without", "").split("+")))
    if strange := [one for one in without if one not in SOURCES]:
        raise UsageError(
            f"--variant {text}: there is no source {strange[0]!r}. There is: {', '.join(SOURCES)}."
        )
    if min(caps.values()) < 0 or (share is not None and not 0 < share < 1):
        raise UsageError(f"--variant {text}: a cap is 0 or more, a share between 0 and 1.")
    return Variant(experiment, name, model_run_id=run, without=without, **caps), share


def _with_buckets(variants: list[Variant], shares: Sequence[float | None]) -> list[Variant]:
    given = sum(share for share in shares if share is not None)
    others = shares.count(None)
    if given > 1 + 1e-9 or (others and given > 1 - 1e-9) or (not others and given < 1 - 1e-9):
        raise UsageError(
            f"the shares add up to {given:g}: it must be 1, or less where a variant has none."
        )
    placed, at = [], 0.0
    for variant, share in zip(variants, shares, strict=True):
        begin = round(at * BUCKETS)
        at += share if share is not None else (1 - given) / others
        placed.append(replace(variant, bucket_from=begin, bucket_to=round(at * BUCKETS)))
    if empty := [one.name for one in placed if one.bucket_from == one.bucket_to]:
        raise UsageError(f"the share of {empty[0]} is less than one bucket, 1 / {BUCKETS}.")
    return placed


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{what} {name!r} is no name: small letters, digits, - and _, 48 at most.")


def make(cursor: extensions.cursor, name: str, variants: Sequence[Variant]) -> None:
    """Begin an experiment.

    Raises:
        EncoreError: another runs, there was one of that name, or a variant's run is not kept.
    """
    for run in sorted({one.model_run_id for one in variants if one.model_run_id is not None}):
        cursor.execute(
            "SELECT 1 FROM model_runs WHERE model_run_id = %s"
            " AND status IN ('published', 'superseded')",
            (run,),
        )
        if cursor.fetchone() is None:
            raise EncoreError(f"there are no lists of run {run}: `encore runs` shows what is kept.")
    cursor.execute("SELECT name FROM experiments WHERE name = %s OR stopped_at IS NULL", (name,))
    if found := cursor.fetchone():
        what = "there was one of that name" if found[0] == name else "one runs at a time"
        raise EncoreError(f"experiment {found[0]} is on record: {what}. `encore experiment list`.")
    try:
        cursor.execute("INSERT INTO experiments (name) VALUES (%s)", (name,))
    except errors.UniqueViolation:
        raise EncoreError("another experiment was begun just now: one runs at a time.") from None
    execute_values(
        cursor,
        "INSERT INTO experiment_variants (experiment, variant, place, bucket_from, bucket_to,"
        " model_run_id, max_per_artist, max_per_genre, without) VALUES %s",
        [
            (name, one.name, place, one.bucket_from, one.bucket_to, one.model_run_id,
             one.max_per_artist, one.max_per_genre, list(one.without))
            for place, one in enumerate(variants, 1)
        ],
    )  # fmt: skip


def stop(cursor: extensions.cursor, name: str) -> None:
    """End an experiment: everybody is shown the same again.

    Raises:
        EncoreError: it does not run.
    """
    cursor.execute(
        "UPDATE experiments SET stopped_at = now() WHERE name = %s AND stopped_at IS NULL", (name,)
    )
    if cursor.rowcount == 0:
        raise EncoreError(f"no experiment {name!r} runs. `encore experiment list` shows them.")


EVERY: Final = """
SELECT e.name, e.started_at, e.stopped_at, v.variant, v.bucket_from, v.bucket_to, v.model_run_id,
       v.max_per_artist, v.max_per_genre, v.without
  FROM experiments AS e JOIN experiment_variants AS v ON v.experiment = e.name
 ORDER BY e.started_at DESC, e.name, v.place
"""
RUNNING: Final = EVERY.replace(" ORDER BY", " WHERE e.stopped_at IS NULL ORDER BY")
RESULTS: Final = """
SELECT variant, impressions, plays, completes, skips, likes, click_through, low, high,
       difference, difference_low, difference_high
  FROM experiment_results WHERE experiment = {} ORDER BY place
"""


def results(cursor: extensions.cursor, name: str) -> list[dict[str, Any]]:
    """Return what came of each variant of an experiment: the columns of :data:`RESULTS`.

    Raises:
        EncoreError: there is none of that name.
    """
    cursor.execute(RESULTS.format("%s"), (name,))
    columns = [column.name for column in cursor.description or ()]
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    if not found:
        raise EncoreError(f"there is no experiment {name!r}. `encore experiment list` shows them.")
    return found


def of_rows(rows: Sequence[Any]) -> list[Experiment]:
    """Return the experiments of rows of :data:`EVERY`."""
    found: dict[str, Experiment] = {}
    for name, started_at, stopped_at, *rest in rows:
        one = found.setdefault(name, Experiment(name, started_at, stopped_at, []))
        found[name] = replace(one, variants=[*one.variants, Variant(name, *rest)])
    return list(found.values())
