"""Two versions of a table, row by row: what Kafka gives and what PostgreSQL holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

EXAMPLES = 5
TOLERANCE = 1e-9  # of sums of powers: the order of adding moves their last digits


@dataclass(frozen=True)
class Check:
    """What is compared of a table: its key, and how each of its other columns is.

    ``exact`` columns are equal or both NULL, ``close`` ones are doubles and may differ by
    ``TOLERANCE``; of ``one_of`` columns the expected side has an array of structs with the values
    that are right (``v``). ``derived`` columns follow from others of the same stored row, by an
    expression of SQL over the struct ``stored``. Where ``needed`` is set, the expected side has a
    boolean column of that name, and a row may be absent from the table where it is false.
    """

    table: str
    key: Sequence[str]
    exact: Sequence[str] = ()
    close: Sequence[str] = ()
    one_of: Sequence[str] = ()
    derived: Mapping[str, str] = field(default_factory=dict)
    needed: str | None = None

    @property
    def stored_columns(self) -> list[str]:
        """Name the columns that are read from the table."""
        return [*self.key, *self.exact, *self.close, *self.one_of, *self.derived]

    @property
    def expected_columns(self) -> list[str]:
        """Name the columns that the expected side has."""
        marks = [self.needed] if self.needed else []
        return [*self.key, *self.exact, *self.close, *self.one_of, *marks]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a table: rows stored and compared, and how many are equal or not.

    ``left_out`` rows cannot be recomputed and were not compared; ``missing`` ones should be
    stored and are not. ``examples`` are the first differences in the order of the key, in words.
    """

    table: str
    equal: int
    missing: int
    extra: int
    different: int
    left_out: int = 0
    examples: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """Return how many stored rows were compared."""
        return self.equal + self.extra + self.different

    @property
    def clean(self) -> bool:
        """Tell whether there is no difference."""
        return not (self.missing or self.extra or self.different)


def compare(
    check: Check, expected: DataFrame, stored: DataFrame, unsure: DataFrame | None = None
) -> Finding:
    """Compare a table with what it must hold.

    ``unsure`` has the keys (or some columns of them) of rows that cannot be recomputed; they are
    left out on both sides.
    """
    left_out = 0
    if unsure is not None:
        by = unsure.columns
        left_out = stored.join(unsure, by, "left_semi").count()
        expected, stored = (side.join(unsure, by, "left_anti") for side in (expected, stored))
    held = matched(check, expected, stored)
    kinds = ("equal", "missing", "extra", "different")
    row = F.struct(*check.key, "expected", "stored", "differing", "kind")
    order = F.when(F.col("kind") != "equal", F.struct(*check.key))  # NULL is passed over
    found = held.agg(
        *(F.count_if(F.col("kind") == kind) for kind in kinds), F.min_by(row, order, EXAMPLES)
    ).collect()[0]
    equal, missing, extra, different, wrong = found
    examples = [in_words(check, one) for one in wrong or ()]
    return Finding(check.table, equal, missing, extra, different, left_out, examples)


def matched(check: Check, expected: DataFrame, stored: DataFrame) -> DataFrame:
    """Return a row a key: the key, ``expected``, ``stored`` (structs), ``differing``, ``kind``."""
    ours = _packed(check, expected.select(*check.expected_columns), "expected")
    theirs = _packed(check, stored.select(*check.stored_columns), "stored")
    rows = ours.join(theirs, list(check.key), "full").withColumn("differing", _differing(check))
    kind = (
        F.when(F.col("expected").isNull(), "extra")
        .when(F.col("stored").isNull(), "missing")
        .when(F.size("differing") > 0, "different")
        .otherwise("equal")
    )
    rows = rows.withColumn("kind", kind)
    if check.needed:
        rows = rows.filter(~((F.col("kind") == "missing") & ~F.col(f"expected.{check.needed}")))
    return rows


def in_words(check: Check, row: Row) -> str:
    """Return a difference as a line: which row, and what is wrong with it."""
    key = ", ".join(f"{name}={show(row[name])}" for name in check.key)
    if row["kind"] != "different":
        return f"{row['kind']} {key}"
    told = "; ".join(_told(check, row, name) for name in row["differing"])
    return f"different {key}: {told}"


def show(value: Any) -> str:
    """Return a value as a person reads it; times are UTC."""
    if isinstance(value, datetime):
        at = value.astimezone(UTC) if value.tzinfo else value
        return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    return "NULL" if value is None else repr(value)


def _told(check: Check, row: Row, name: str) -> str:
    stored = show(row["stored"][name])
    if name in check.one_of:
        values = " or ".join(show(one["v"]) for one in row["expected"][name])
        return f"{name} must be {values}, is {stored}"
    if name in check.derived:
        return f"{name} is {stored}, which does not follow from the row's other columns"
    return f"{name} must be {show(row['expected'][name])}, is {stored}"


def _packed(check: Check, side: DataFrame, name: str) -> DataFrame:
    others = [column for column in side.columns if column not in check.key]
    return side.select(*check.key, F.struct(F.lit(True).alias("there"), *others).alias(name))


def _differing(check: Check) -> Column:
    rules = {
        **{name: _equal(name) for name in check.exact},
        **{name: _close(F.col(f"expected.{name}"), name) for name in check.close},
        **{name: _among(name) for name in check.one_of},
        **{name: _close(F.expr(follows), name) for name, follows in check.derived.items()},
    }
    names = [F.when(~same, F.lit(name)) for name, same in rules.items()]
    return F.array_compact(F.array(F.lit(None).cast("string"), *names))


def _equal(name: str) -> Column:
    return F.col(f"expected.{name}").eqNullSafe(F.col(f"stored.{name}"))


def _close(expected: Column, name: str) -> Column:
    stored = F.col(f"stored.{name}")
    bound = F.greatest(
        F.lit(TOLERANCE), F.lit(TOLERANCE) * F.greatest(F.abs(expected), F.abs(stored))
    )
    near = F.abs(expected - stored) <= bound
    return F.coalesce(near, expected.isNull() & stored.isNull())


def _among(name: str) -> Column:
    stored = F.col(f"stored.{name}")
    return F.exists(F.col(f"expected.{name}"), lambda one: one["v"].eqNullSafe(stored))
