"""How staged deltas are merged into a table: one rule a column, one upsert a table.

Rules are commutative and associative, so batches may come in any order and any split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from psycopg2 import errors, extensions, sql


class Rule(Protocol):
    """How one column of the stored row takes up the delta."""

    def merged(self, column: str) -> sql.Composable:
        """Return the new value; ``t`` is the stored row, ``excluded`` the delta."""

    def summed(self, column: str) -> sql.Composable:
        """Return the aggregate that makes one delta of those of several tasks."""


@dataclass(frozen=True, slots=True)
class Add:
    """The stored value plus the delta."""

    def merged(self, column: str) -> sql.Composable:
        """Return the sum."""
        return sql.SQL("t.{0} + excluded.{0}").format(sql.Identifier(column))

    def summed(self, column: str) -> sql.Composable:
        """Return the sum."""
        return sql.SQL("sum({})::bigint").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class Earliest:
    """The smaller of both; NULL only where both are."""

    def merged(self, column: str) -> sql.Composable:
        """Return the least."""
        return sql.SQL("least(t.{0}, excluded.{0})").format(sql.Identifier(column))

    def summed(self, column: str) -> sql.Composable:
        """Return the least."""
        return sql.SQL("min({})").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class Latest:
    """The greater of both; NULL only where both are."""

    def merged(self, column: str) -> sql.Composable:
        """Return the greatest."""
        return sql.SQL("greatest(t.{0}, excluded.{0})").format(sql.Identifier(column))

    def summed(self, column: str) -> sql.Composable:
        """Return the greatest."""
        return sql.SQL("max({})").format(sql.Identifier(column))


@dataclass(frozen=True, slots=True)
class AddDecayed:
    """The sum of both, each carried on to the later ``as_of`` (see streaming.features.grouping)."""

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

    def summed(self, column: str) -> sql.Composable:
        """Return the sum as of ``newest``, the latest ``as_of`` of the key."""
        return sql.SQL("sum(halved({}, newest - {}, {}))").format(
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

    def summed(self, column: str) -> sql.Composable:
        """Refuse: deltas do not carry it."""
        raise NotImplementedError(column)

    def inserted(self) -> sql.Composable:
        """Return the rank of a delta that is the first of its row."""
        return self.of(sql.Identifier(self.score), sql.Identifier(self.as_of))


@dataclass(frozen=True, slots=True)
class Staged:
    """The staged rows of one batch: a table, and the task attempts that count."""

    table: sql.Composable
    attempts: Sequence[int]

    def rows(self) -> sql.Composable:
        """Return the FROM and WHERE of the rows that count."""
        return sql.SQL("FROM {0} WHERE attempt = ANY ({1}::bigint[])").format(
            self.table, sql.Literal(list(self.attempts))
        )


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

    @property
    def extra(self) -> Mapping[str, str]:
        """Name the columns of the delta that the table lacks, with their types."""

    def merge(self, cursor: extensions.cursor, staged: Staged) -> None:
        """Merge the staged rows."""


@dataclass(frozen=True)
class Additive:
    """A table whose rows are upserted column by column.

    A task stages one row a key. With ``shared`` several tasks may stage the same key, and
    their rows are summed up first; without it that is the exception (rows of one user come from
    one partition) and costs something only when it happens. ``only`` is a condition, as SQL, on
    the rows that are taken. ``then`` are statements to run after the upsert; ``{rows}`` stands for
    the staged rows in them.
    """

    name: str
    key: Sequence[str]
    rules: Mapping[str, Rule]
    shared: bool = False
    only: str = "TRUE"
    then: Sequence[str] = ()

    @property
    def like(self) -> str:
        """Name the table whose column types the staging table takes."""
        return self.name

    @property
    def columns(self) -> Sequence[str]:
        """Name the columns of the delta, in order."""
        return [*self.key, *(name for name, rule in self.rules.items() if not _derived(rule))]

    @property
    def extra(self) -> Mapping[str, str]:
        """Name no column that the table lacks."""
        return {}

    def merge(self, cursor: extensions.cursor, staged: Staged) -> None:
        """Upsert the staged rows, then run what is to follow."""
        if len(staged.attempts) == 1:
            cursor.execute(self.upsert(self._rows(staged)))
        elif self.shared:
            cursor.execute(self.upsert(self._summed(staged)))
        else:
            self._merge_together_or_one_by_one(cursor, staged)
        _run(cursor, self.then, staged)

    def upsert(self, rows: sql.Composable) -> sql.Composable:
        """Return the upsert; sorted by key, which B-trees take up faster and without deadlocks."""
        return sql.SQL(
            "INSERT INTO {table} AS t ({all_columns}) SELECT {values} {rows} ORDER BY {key} "
            "ON CONFLICT ({key}) DO {action}"
        ).format(
            table=sql.Identifier(self.name),
            all_columns=_names([*self.key, *self.rules]),
            values=sql.SQL(", ").join(self._values()),
            rows=rows,
            key=_names(self.key),
            action=self._action(),
        )

    def _merge_together_or_one_by_one(self, cursor: extensions.cursor, staged: Staged) -> None:
        cursor.execute("SAVEPOINT together")
        try:
            cursor.execute(self.upsert(self._rows(staged)))
        except errors.CardinalityViolation:
            # Two tasks did stage the same key: the producer does not key by user.
            cursor.execute("ROLLBACK TO SAVEPOINT together")
            for attempt in staged.attempts:
                cursor.execute(self.upsert(self._rows(Staged(staged.table, [attempt]))))
        cursor.execute("RELEASE SAVEPOINT together")

    def _summed(self, staged: Staged) -> sql.Composable:
        """Return a FROM of one row a key."""
        staged_columns = {one: rule for one, rule in self.rules.items() if not _derived(rule)}
        sums = [
            sql.SQL("{} AS {}").format(rule.summed(name), sql.Identifier(name))
            for name, rule in staged_columns.items()
        ]
        as_of = [rule.as_of for rule in staged_columns.values() if isinstance(rule, AddDecayed)]
        newest = [
            sql.SQL(", max({0}) OVER (PARTITION BY {1}) AS newest").format(
                sql.Identifier(name), _names(self.key)
            )
            for name in as_of[:1]
        ]
        return sql.SQL(
            "FROM (SELECT {key}, {sums} FROM (SELECT *{newest} {rows}) AS a GROUP BY {key}) AS b"
        ).format(
            key=_names(self.key),
            sums=sql.SQL(", ").join(sums),
            newest=sql.Composed(newest),
            rows=self._rows(staged),
        )

    def _rows(self, staged: Staged) -> sql.Composable:
        return sql.SQL("{} AND {}").format(staged.rows(), sql.SQL(self.only))

    def _values(self) -> list[sql.Composable]:
        derived = {
            name: rule.inserted() for name, rule in self.rules.items() if isinstance(rule, Heat)
        }
        return [derived.get(name, sql.Identifier(name)) for name in [*self.key, *self.rules]]

    def _action(self) -> sql.Composable:
        assignments = [
            sql.SQL("{} = {}").format(sql.Identifier(name), rule.merged(name))
            for name, rule in self.rules.items()
        ]
        return sql.SQL("UPDATE SET ") + sql.SQL(", ").join(assignments)


@dataclass(frozen=True)
class Appended:
    """A table that every batch adds its rows to.

    ``altered`` gives columns, as SQL, another value than the staged one.
    """

    name: str
    columns: Sequence[str]
    altered: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def like(self) -> str:
        """Name the table whose column types the staging table takes."""
        return self.name

    def merge(self, cursor: extensions.cursor, staged: Staged) -> None:
        """Insert the staged rows."""
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} {}").format(
                sql.Identifier(self.name),
                _names(self.columns),
                sql.SQL(", ").join(
                    sql.SQL(self.altered[name]) if name in self.altered else sql.Identifier(name)
                    for name in self.columns
                ),
                staged.rows(),
            )
        )


@dataclass(frozen=True)
class Scripted:
    """A delta that goes where its own statements put it; ``{rows}`` stands for the staged rows."""

    name: str
    columns: Sequence[str]
    scripts: Sequence[str]
    like: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def merge(self, cursor: extensions.cursor, staged: Staged) -> None:
        """Run the statements with the staged rows in their place."""
        _run(cursor, self.scripts, staged)


def _run(cursor: extensions.cursor, scripts: Sequence[str], staged: Staged) -> None:
    for script in scripts:
        cursor.execute(sql.SQL(script).format(rows=staged.rows()))


def _derived(rule: Rule) -> bool:
    return isinstance(rule, Heat)


def _names(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)
