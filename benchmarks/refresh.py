"""A whole refresh of everyone's lists, and its parts, against the stock way of MLlib."""

import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from benchmarks.backlog import Bench
from benchmarks.crowd import Crowd, fill
from benchmarks.measure import Figure, compare, take_turns
from benchmarks.stock import StockWay
from encore.settings import Settings, TrainEngine, load_settings
from recommender import job, local, mllib
from recommender.als import AlsParameters, fit
from recommender.blend import Signals
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue, read_catalogue
from recommender.dataset import number_users, open_snapshot, pair_columns, read_pairs, summarize
from recommender.foldin import HalfStep
from recommender.lists import personal_lists
from recommender.publish import prepare, publish
from recommender.rules import Rules
from recommender.runs import record_training, start_run
from recommender.split import everything, ratings
from recommender.topk import Als
from recommender.trainer import Trainer

CROWD = Crowd(users=25_000, items=25_000, pairs=900_000)
_STOCK = "the stock way: JDBC, ALS.fit, recommendForAllUsers, anti-join, JDBC"


def bench_refresh(bench: Bench, crowd: Crowd = CROWD, repeats: int = 3) -> list[Figure]:
    """Measure whole refreshes by both engines, bare and with all that Encore adds."""
    fill(bench.database, crowd)
    engines = {one: load_settings(train_engine=one, als_blocks=4) for one in TrainEngine}
    mllib_way, implicit_way = engines[TrainEngine.MLLIB], engines[TrainEngine.IMPLICIT]
    stock = _stock_way(bench, mllib_way)
    session = job.start_spark()  # the bench's own, there by now, with what the job sets

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def run() -> float:
            session.catalog.clearCache()
            stock.make_table()
            began = time.perf_counter()
            work()
            return time.perf_counter() - began

        return run

    def whole(settings: Settings) -> object:
        return job.run(bench.database, settings, seed=1, force=True)

    found = take_turns(
        {
            "stock": timed(stock.refresh),
            "mllib": timed(lambda: bare_refresh(bench.database, mllib_way)),
            "implicit": timed(lambda: bare_refresh(bench.database, implicit_way)),
            "mllib, whole": timed(lambda: whole(mllib_way)),
            "implicit, whole": timed(lambda: whole(implicit_way)),
        },
        repeats=repeats,
    )
    session.catalog.clearCache()

    def figure(way: str, name: str, target: str) -> Figure:
        return compare(name, _STOCK, found[way], found["stock"], unit="s", target=target)

    return [
        figure("mllib", "refresh by MLlib", "<= 0.6"),
        figure("implicit", "refresh by implicit", "<= 0.2"),
        figure("mllib, whole", "same, measured, similar items", ""),
        figure("implicit, whole", "same, by implicit", ""),
    ]


def bench_lists(bench: Bench, crowd: Crowd = CROWD, repeats: int = 3) -> list[Figure]:
    """Measure making everyone's lists from factors in memory, written nowhere."""
    fill(bench.database, crowd)
    settings = load_settings(als_blocks=4)
    stock = _stock_way(bench, settings)
    session = job.start_spark()  # the bench's own, there by now, with what the job sets
    parameters = job.als_parameters(settings, seed=1)
    _, _, pairs = stock.read()
    model = stock.fit(pairs)
    with open_snapshot(bench.database) as snapshot:
        summary = summarize(snapshot.cursor, 0.1, 30)
        catalogue = read_catalogue(snapshot.cursor)
        ids = session.sparkContext.broadcast(list(catalogue.ids))
        read = read_pairs(session, snapshot, pair_columns(summary), ids, partitions=2)
        users = everything(number_users(read)).persist()
        users.count()
    als = fit(ratings(users), len(catalogue.ids), parameters).items
    bundle = session.sparkContext.broadcast(bare_bundle(catalogue, als, parameters, scaled=True))

    def stock_way() -> float:
        return _seconds(lambda: _drain(stock.lists(model, pairs)))

    def our_way() -> float:
        return _seconds(lambda: _drain(personal_lists(users, bundle, settings.recommend_top_n)))

    found = take_turns({"stock": stock_way, "ours": our_way}, repeats=repeats)
    session.catalog.clearCache()
    against = "recommendForAllUsers, explode, anti-join, best 50"
    return [
        compare("lists from factors", against, found["ours"], found["stock"], unit="s",
                target="<= 0.25")
    ]  # fmt: skip


def bare_refresh(url: str, settings: Settings) -> None:
    """Do what the stock way does and no more: read, train, lists without the known, publish.

    Nothing is measured on a past, lists have no caps and explore nothing, and neither similar items
    nor the files that ``encore live`` loads are made.
    """
    parameters = job.als_parameters(settings, seed=1)
    run = start_run(url, "als", parameters.as_dict())
    prepare(url, run)
    with open_snapshot(url) as snapshot, snapshot.meanwhile(read_catalogue) as reading:
        half_life = settings.feature_affinity_half_life_days
        summary = summarize(snapshot.cursor, settings.train_test_share, half_life)
        catalogue, columns = reading.result(), pair_columns(summary)
        trainer: Trainer
        if settings.train_engine is TrainEngine.IMPLICIT:
            trainer = local.read(snapshot, columns, catalogue, parameters)
        else:
            trainer = mllib.read(job.start_spark(), snapshot, columns, catalogue, parameters)
    als = trainer.present.fit()
    bundle = bare_bundle(catalogue, als, parameters, scaled=trainer.scaled, run=run)
    trainer.write(bundle, url, settings.recommend_top_n)
    record_training(url, run, job.training_of("als", summary, {}, None))
    publish(url, run, keep=1)


def bare_bundle(
    catalogue: Catalogue, als: Als, parameters: AlsParameters, *, scaled: bool, run: int = 0
) -> Bundle:
    """Return a model that orders by ALS alone, without rules."""
    count = len(catalogue.ids)
    half_step = HalfStep.of(
        als.factors,
        alpha=parameters.alpha,
        regularization=parameters.regularization,
        scaled=scaled,
        trained=als.trained,
    )
    nothing = Signals(sp.csr_matrix((count, count), dtype=np.float32), (), {})
    heard = np.full(count, 10, np.int64)
    return Bundle(catalogue, half_step, als.trained, heard, nothing, {}, Rules(), run)


def _stock_way(bench: Bench, settings: Settings) -> StockWay:
    parameters = job.als_parameters(settings, seed=1)
    return StockWay(bench.spark, bench.database, parameters, settings.recommend_top_n)


def _drain(rows: object) -> None:
    rows.write.format("noop").mode("overwrite").save()  # type: ignore[attr-defined]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
