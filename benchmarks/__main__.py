"""``make bench``: start services of its own, measure, stop them, write down what came out."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import producer
from benchmarks.backlog import Bench, bench_throughput
from benchmarks.freshness import bench_freshness
from benchmarks.growth import bench_growth, bench_sink, bench_straight_line
from benchmarks.live import bench_fold_in, bench_live_freshness
from benchmarks.measure import Figure, machine, save, table
from benchmarks.memory import bench_memory
from benchmarks.picture import draw
from benchmarks.poison import bench_poison
from benchmarks.profile import bench_profile
from benchmarks.refresh import bench_lists, bench_refresh
from benchmarks.serving import (
    bench_ready,
    bench_recommending,
    bench_serving_memory,
    bench_writing,
)
from benchmarks.training import bench_big, bench_refresh_growth
from database.migrate import upgrade
from encore.events import Topics
from encore.log import configure_logging
from encore.settings import LogLevel
from encore.stack.endpoints import database_url, kafka_bootstrap_servers
from encore.stack.own import own_stack

_BACKLOG = Topics.of("bench-backlog")
_PARTS: dict[str, Callable[[Bench, argparse.Namespace], list[Figure]]] = {
    # The API first: what no Spark session is in the machine for.
    "recommending": lambda bench, _: bench_recommending(bench),
    "ready": lambda bench, _: bench_ready(bench),
    "writing": lambda bench, _: bench_writing(bench),
    "serving-memory": lambda bench, options: bench_serving_memory(bench, options.serving_minutes),
    "producer": lambda bench, _: producer.figures(bench.bootstrap),
    "throughput": lambda bench, _: bench_throughput(bench),
    "profile": lambda bench, _: bench_profile(bench),
    "growth": lambda bench, _: [
        *bench_growth(bench, _BACKLOG),
        *bench_straight_line(bench, _BACKLOG),
    ],
    "sink": lambda bench, _: bench_sink(bench, _BACKLOG),
    "poison": lambda bench, _: bench_poison(bench),
    "freshness": lambda bench, _: [*bench_freshness(bench, 500), *bench_freshness(bench, 2000)],
    "memory": lambda bench, options: bench_memory(bench, options.memory_minutes),
    "refresh": lambda bench, _: bench_refresh(bench),
    "lists": lambda bench, _: bench_lists(bench),
    "refresh-growth": lambda bench, _: bench_refresh_growth(bench),
    "fold-in": lambda bench, _: bench_fold_in(bench),
    "live-freshness": lambda bench, _: bench_live_freshness(bench),
    "big": lambda bench, _: bench_big(bench),
}
_ON_REQUEST = frozenset({"profile", "big"})  # explains a figure and is none; takes long


@contextmanager
def own_services() -> Iterator[Bench]:
    """Run a broker and a database of the benchmark's own."""
    with own_stack("encore-bench-"):
        upgrade(database_url())
        with closing(Bench(kafka_bootstrap_servers(), database_url())) as bench:
            yield bench


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the machine, then a line for each figure; write both as JSON and as a picture."""
    options = _options(arguments)
    configure_logging(level=LogLevel.ERROR)
    words = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(words, flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with own_services() as bench:
        for part in _needed(options.parts):
            found = _PARTS[part](bench, options)
            print(table(found), flush=True)
            known = save({part: found}, options.output / "benchmarks.json")
            drawn = [
                one for name in _PARTS if name not in _ON_REQUEST for one in known.get(name, ())
            ]
            draw(drawn, options.output / "benchmarks.svg", words)


def _needed(parts: Sequence[str]) -> list[str]:
    """Return the parts in order; some measure with the backlog that the throughput filled."""
    wanted = set(parts or _PARTS.keys() - _ON_REQUEST)
    if wanted & {"growth", "sink"}:
        wanted.add("throughput")
    return [part for part in _PARTS if part in wanted]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--memory-minutes", type=float, default=10.0, metavar="MIN")
    parser.add_argument("--serving-minutes", type=float, default=5.0, metavar="MIN")
    parser.add_argument("--output", type=Path, default=Path("docs"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(_PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there is {', '.join(_PARTS)}")
    return options


if __name__ == "__main__":
    main()
