"""What a verification found, as lines for a terminal and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from verification.accounting import Accounting
from verification.compare import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """A whole verification. ``records`` is how many records of Kafka were counted again."""

    accounting: Accounting
    findings: Sequence[Finding]
    records: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Tell whether everything is as it must be."""
        return not self.accounting.problems and all(one.clean for one in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "clean": self.clean,
            "records": self.records,
            "seconds": round(self.seconds, 1),
            "accounting": self.accounting.as_dict(),
            "tables": [
                {**asdict(one), "rows": one.rows, "clean": one.clean} for one in self.findings
            ],
        }


def aligned(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    """Yield the lines of a table: text to the left, numbers to the right."""
    shown = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *shown, strict=True)]
    right = [bool(rows) and isinstance(cell, int) for cell in (rows[0] if rows else header)]
    for line in [list(header), *shown]:
        cells = zip(line, widths, right, strict=True)
        yield "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells
        ).rstrip()


def accounting_lines(accounting: Accounting) -> Iterator[str]:
    """Yield the accounts of every partition, and what does not close."""
    header = (
        "topic",
        "partition",
        "produced",
        "accepted",
        "late",
        "duplicate",
        "rejected",
        "gaps",
        "waiting",
        "closes",
    )
    rows: list[Sequence[str | int]] = [
        (
            one.topic,
            one.partition,
            one.produced,
            one.accepted,
            one.late,
            one.duplicate,
            one.rejected,
            one.gaps,
            one.waiting,
            "no" if one.problems() else "yes",
        )
        for one in accounting.accounts
    ]
    yield from aligned(header, rows)
    yield from (f"  {problem}" for problem in accounting.problems)


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each table, then the first differences of those that have any."""
    header = ("table", "rows", "equal", "missing", "extra", "different", "left out")
    rows: list[Sequence[str | int]] = [
        (one.table, one.rows, one.equal, one.missing, one.extra, one.different, one.left_out)
        for one in findings
    ]
    yield from aligned(header, rows)
    for one in findings:
        yield from (f"  {one.table}: {example}" for example in one.examples)


def accounting_verdict(accounting: Accounting) -> str:
    """Return the last line of the accounting."""
    waiting = sum(one.waiting for one in accounting.accounts)
    if accounting.problems:
        return f"the books do NOT close: {len(accounting.problems)} problems"
    return f"the books close; {waiting:,} offsets wait to be counted"


def verdict(report: Report) -> str:
    """Return the last line of a verification."""
    wrong = [one.table for one in report.findings if not one.clean]
    took = f"{report.records:,} records counted again in {report.seconds:.1f} s"
    if report.clean:
        rows = sum(one.rows for one in report.findings)
        return f"clean: all {rows:,} rows are what Kafka gives ({took})"
    parts = [f"wrong: {', '.join(wrong)}"] if wrong else []
    if report.accounting.problems:
        parts.append("the books do not close")
    return f"NOT clean: {'; '.join(parts)} ({took})"
