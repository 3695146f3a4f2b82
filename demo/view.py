"""The demo in a terminal: a snapshot in, something that rich can draw out."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.snapshot import Flow, Listener, Model, Recommendation, Snapshot, Trend

FEWEST_ROWS = 2
MOST_ROWS = 8
_LINES_WITHOUT_ROWS = 20
_LINES_OF_FOOTER = 6
_SOURCE_STYLES = {"personal": "green", "genre": "cyan", "trending": "yellow", "popular": "magenta"}


def rows_that_fit(height: int) -> int:
    """Return how many rows each list may have in a terminal of so many lines."""
    left = height - _LINES_WITHOUT_ROWS - _LINES_OF_FOOTER
    return max(FEWEST_ROWS, min(MOST_ROWS, left // 2))


def render(snapshot: Snapshot, height: int) -> RenderableType:
    """Return the view of a snapshot, cut to a terminal of so many lines."""
    rows = rows_that_fit(height)
    parts: list[RenderableType] = [_header(snapshot)]
    if snapshot.flow.produced:
        top = _columns(_flow(snapshot), _trending(snapshot.trending[:MOST_ROWS]))
        parts += [top, _listener(snapshot.listener, rows)]
    if height >= _LINES_WITHOUT_ROWS + _LINES_OF_FOOTER + 2 * rows:
        parts += [Text(note, style="yellow") for note in snapshot.notes[-2:]]
        parts += [Text(line, style="dim") for line in snapshot.footer]
    return Group(*parts)


def _columns(left: RenderableType, right: RenderableType) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(left, right)
    return grid


def _header(snapshot: Snapshot) -> Text:
    line = Text.assemble(("encore", "bold"), f"  {duration(snapshot.seconds)}  ")
    for step in snapshot.steps:
        if step.seconds is None:
            line.append(f"… {step.name}  ", style="bold yellow")
        else:
            line.append("✓ ", style="green").append(f"{step.name} {duration(step.seconds)}  ")
    return line


def _flow(snapshot: Snapshot) -> Panel:
    table = Table.grid(padding=(0, 2))
    for name, value in [
        *flow_lines(snapshot.flow),
        ("sessions", f"{snapshot.open_sessions:,} open"),
        *model_lines(snapshot.model, snapshot.model_age),
        ("training", snapshot.training or "–"),
    ]:
        table.add_row(Text(name, style="dim"), Text(value))
    return Panel(table, title="flow", box=box.ROUNDED)


def flow_lines(flow: Flow) -> list[tuple[str, str]]:
    """Return names and values of what flows from Kafka into the tables."""
    counted = flow.counted
    return [
        ("events/s", f"{flow.arriving:,.0f} in, {flow.committing:,.0f} committed"),
        ("lag", f"{flow.lag:,} records"),
        ("freshness", f"{age(counted.freshness)}, last commit {age(counted.since_commit)} ago"),
        ("accepted", f"{counted.accepted:,} ({counted.late:,} late)"),
        ("dropped", f"{counted.duplicate:,} duplicate, {counted.rejected:,} rejected"),
    ]


def model_lines(model: Model | None, seconds: float) -> list[tuple[str, str]]:
    """Return names and values of what there is to say about the published model."""
    if model is None:
        return [("model", "none yet")]
    als, popularity = model.metric("als", "ndcg@10"), model.metric("popularity", "ndcg@10")
    about = f"run {model.model_run_id} ({model.algorithm}), published {duration(seconds)} ago"
    if als is None or popularity is None:
        return [("model", about)]
    return [("model", about), ("NDCG@10", f"{als:.3f}, popularity {popularity:.3f}")]


def _trending(trends: Sequence[Trend]) -> Panel:
    table = _list("track", "artist", "score")
    for one in trends:
        table.add_row(escape(one.title), escape(one.artist), f"{one.score:,.1f}")
    return Panel(table, title="trending now", box=box.ROUNDED)


def _listener(listener: Listener | None, rows: int) -> RenderableType:
    if listener is None:
        return Panel(Text("nobody has listened yet", style="dim"), title="listener")
    who = " · ".join(part for part in (listener.user_id, listener.name, listener.place) if part)
    plays = _list("played", "artist", "plays", "♥", "ago")
    for one in listener.plays[:rows]:
        skips = f" ({one.skips} skipped)" if one.skips else ""
        liked = "♥" if one.likes > 0 else ""
        plays.add_row(
            escape(one.title), escape(one.artist), f"{one.plays}{skips}", liked, age(one.age)
        )
    chosen = listener.recommendations[:rows]
    return Group(
        Panel(plays, title=f"listener {escape(who)}", box=box.ROUNDED),
        Panel(_recommendations(chosen), title=f"for {listener.user_id}", box=box.ROUNDED),
    )


def _recommendations(rows: Sequence[Recommendation]) -> Table:
    table = _list("#", "track", "artist", "source", "why")
    for one in rows:
        source = Text(one.source, style=_SOURCE_STYLES.get(one.source, ""))
        title, artist, reason = escape(one.title), escape(one.artist), escape(one.reason)
        table.add_row(str(one.rank), title, artist, source, reason)
    return table


def _list(*columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for column in columns:
        wide = column in {"track", "played", "artist", "why"}
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if wide else None)
    return table


def age(seconds: float | None) -> str:
    """Return an age as a person says it; tenths matter below ten seconds."""
    if seconds is None:
        return "–"
    return f"{max(seconds, 0.0):.1f} s" if seconds < 10 else duration(seconds)


def duration(seconds: float) -> str:
    """Return a span of time in its two largest units."""
    whole = max(round(seconds), 0)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"
