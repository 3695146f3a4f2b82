"""How staged deltas are merged into a table: one rule a column, one upsert a table.

Rules are commutative and associative, so batches may come in any order and any split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from psycopg2 import sql


class Rule(Protocol):
    """How one column of the stored row takes up the delta."""

    def merged(self, column: str) -> sql.Composable:
        """Return the new value; ``t`` is the stored row, ``excluded`` the delta."""


@dataclass(frozen=True, slots=True)
class Add:
    """The stored value plus the delta."""

    def merged(self, column: str) -> sql.Composable:
        """Return the sum."""
        return sql.SQL("t.{0} + excluded.{0}").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class Earliest:
    """The smaller of both; NULL only where both are."""

    def merged(self, column: str) -> sql.Composable:
        """Return the least."""
        return sql.SQL("least(t.{0}, excluded.{0})").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class Latest:
    """The greater of both; NULL only where both are."""

    def merged(self, column: str) -> sql.Composable:
        """Return the greatest."""
        return sql.SQL("greatest(t.{0}, excluded.{0})").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class AddDecayed:
    """The sum of both, each carried on to the later ``as_of`` (see streaming.features.decay)."""

    as_of: str
    half_life: timedelta

    def merged(self, column: str) -> sql.Composable:
        """Return the decayed sum."""
        return sql.SQL(
            "halved(t.{0}, greatest(t.{1}, excluded.{1}) - t.{1}, {2})"
            " + halved(excluded.{0}, greatest(t.{1}, excluded.{1}) - excluded.{1}, {2})"
        ).format(
            sql.Identifier(column),
            sql.Identifier(self.as_of),
            sql.Literal(self.half_life.total_seconds()),
        )


@dataclass(frozen=True, slots=True)
class Heat:
    """The time-independent rank of a decayed sum; derived, so deltas do not carry it."""

    score: str
    as_of: str
    half_life: timedelta

    def of(self, score: sql.Composable, as_of: sql.Composable) -> sql.Composable:
        """Return the rank of a score as of a moment."""
        seconds = sql.Literal(self.half_life.total_seconds())
        return sql.SQL("heat({0}, {1}, {2})").format(score, as_of, seconds)

    def merged(self, column: str) -> sql.Composable:  # noqa: ARG002 (one contract for all rules)
        """Return the rank of the merged score."""
        score = AddDecayed(self.as_of, self.half_life).merged(self.score)
        return self.of(score, Latest().merged(self.as_of))

    def inserted(self) -> sql.Composable:
        """Return the rank of a delta that is the first of its row."""
        return self.of(sql.Identifier(self.score), sql.Identifier(self.as_of))


@dataclass(frozen=True, slots=True)
class Staged:
    """The staged rows of one batch: a table, and the task attempts that count."""

    table: sql.Composable
    attempts: sql.Composable

    def rows(self) -> sql.Composable:
        """Return the FROM and WHERE of the rows that count."""
        return sql.SQL("FROM {0} WHERE attempt = ANY ({1})").format(self.table, self.attempts)


class Target(Protocol):
    """A table (or several) that one kind of delta goes into."""

    @property
    def name(self) -> str:
        """Name the delta, and its staging table."""

    @property
    def like(self) -> str:
        """Name the table whose column types the staging table takes."""

    @property
    def columns(self) -> Sequence[str]:
        """Name the columns of the delta, in order."""

    def statements(self, staged: Staged) -> Sequence[sql.Composable]:
        """Return the statements that merge the staged rows, in order."""


@dataclass(frozen=True)
class Additive:
    """A table whose rows are upserted column by column."""

    name: str
    key: Sequence[str]
    rules: Mapping[str, Rule]

    @property
    def like(self) -> str:
        """Name the table whose column types the staging table takes."""
        return self.name

    @property
    def columns(self) -> Sequence[str]:
        """Name the columns of the delta, in order."""
        return [*self.key, *(name for name, rule in self.rules.items() if not _derived(rule))]

    def statements(self, staged: Staged) -> Sequence[sql.Composable]:
        """Return the upsert; sorted by key, which B-trees take up faster and without deadlocks."""
        return [
            sql.SQL(
                "INSERT INTO {table} AS t ({all_columns}) SELECT {values} {rows} ORDER BY {key} "
                "ON CONFLICT ({key}) DO {action}"
            ).format(
                table=sql.Identifier(self.name),
                all_columns=_names([*self.key, *self.rules]),
                values=sql.SQL(", ").join(self._values()),
                rows=staged.rows(),
                key=_names(self.key),
                action=self._action(),
            )
        ]

    def _values(self) -> list[sql.Composable]:
        derived = {
            name: rule.inserted() for name, rule in self.rules.items() if isinstance(rule, Heat)
        }
        return [derived.get(name, sql.Identifier(name)) for name in [*self.key, *self.rules]]

    def _action(self) -> sql.Composable:
        if not self.rules:
            return sql.SQL("NOTHING")
        assignments = [
            sql.SQL("{} = {}").format(sql.Identifier(name), rule.merged(name))
            for name, rule in self.rules.items()
        ]
        return sql.SQL("UPDATE SET ") + sql.SQL(", ").join(assignments)


@dataclass(frozen=True)
class Scripted:
    """A delta that goes where its own statements put it; ``{rows}`` stands for the staged rows."""

    name: str
    columns: Sequence[str]
    scripts: Sequence[str]
    like: str

    def statements(self, staged: Staged) -> Sequence[sql.Composable]:
        """Return the statements with the staged rows in their place."""
        return [sql.SQL(script).format(rows=staged.rows()) for script in self.scripts]


def _derived(rule: Rule) -> bool:
    return isinstance(rule, Heat)


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
