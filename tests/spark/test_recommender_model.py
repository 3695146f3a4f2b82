"""The model on data whose right answer is known: two groups of users with two blocks of items."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encore.errors import EncoreError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from recommender.als import AlsParameters
    from recommender.dataset import Summary

pytestmark = pytest.mark.spark

USERS, ITEMS = 24, 20
HALF = ITEMS // 2
DAY = 86_400.0
SPLIT = 100 * DAY


def in_block(user: int, item: int) -> bool:
    return (user % 2 == 0) == (item < HALF)


def heard_before(user: int, item: int) -> bool:
    return in_block(user, item) and (user // 2 + item) % 5 != 0


def heard_after(user: int, item: int) -> bool:
    return in_block(user, item) and (user // 2 + item) % 5 == 0 and item % 2 == 0


def pair(user: int, item: int, at_s: float, signal: float = 1.0) -> tuple[Any, ...]:
    return (f"u{user:02}", item, signal, False, at_s, at_s)


@pytest.fixture(scope="module")
def parameters() -> "AlsParameters":
    from recommender.als import AlsParameters

    return AlsParameters(rank=4, iterations=6, regularization=0.1, alpha=10, seed=3, blocks=2)


@pytest.fixture(scope="module")
def summary() -> "Summary":
    from recommender.dataset import Summary

    return Summary(0, USERS, ITEMS, None, None, SPLIT + DAY, SPLIT, 30 * DAY)


@pytest.fixture(scope="module")
def numbered(spark: "SparkSession") -> "Iterator[DataFrame]":
    from recommender.dataset import PAIR_SCHEMA, number_users

    cells = [(user, item) for user in range(USERS) for item in range(ITEMS)]
    pairs = [pair(user, item, SPLIT - DAY) for user, item in cells if heard_before(user, item)]
    pairs += [pair(user, item, SPLIT + DAY) for user, item in cells if heard_after(user, item)]
    made = number_users(spark.createDataFrame(pairs, PAIR_SCHEMA)).persist()
    yield made
    made.unpersist()


def test_users_are_numbered_from_zero_without_gaps(numbered: "DataFrame") -> None:
    rows = numbered.select("user_id", "user").collect()
    assert sorted(row["user"] for row in rows) == list(range(USERS))
    assert len({row["user_id"] for row in rows}) == USERS


def test_als_finds_what_users_hear_next_and_popularity_does_not(
    spark: "SparkSession", numbered: "DataFrame", summary: "Summary", parameters: "AlsParameters"
) -> None:
    from recommender.training import measure

    metrics = measure(spark, numbered, summary, ITEMS, parameters)
    assert metrics["test_users"] == USERS
    assert metrics["training_pairs"] == USERS * 8
    # Two of ten in the block are not known: with both found first, ranks are near the best.
    assert metrics["als"]["ndcg@10"] > 0.75
    assert metrics["als"]["recall@20"] == 1.0
    assert metrics["als"]["ndcg@10"] > metrics["popularity"]["ndcg@10"]


def test_lists_hold_unknown_items_of_the_own_block_first_with_their_reason(
    spark: "SparkSession", numbered: "DataFrame", parameters: "AlsParameters"
) -> None:
    from recommender.als import fit
    from recommender.dataset import Catalogue
    from recommender.lists import personal_lists
    from recommender.split import Decay, before, ratings
    from recommender.training import with_factors

    view = before(numbered, Decay(SPLIT, 30 * DAY))
    model = fit(ratings(view), ITEMS, parameters)
    ids = [f"t{item:02}" for item in range(ITEMS)]
    catalogue = Catalogue(ids, [f"Title {one}" for one in ids])
    share = spark.sparkContext.broadcast
    rows = personal_lists(
        with_factors(view, model), share(model.items), share(catalogue),
        model_run_id=9, top_n=50, alpha=parameters.alpha,
    ).collect()  # fmt: skip
    for user in range(USERS):
        mine = sorted(
            (row for row in rows if row["user_id"] == f"u{user:02}"), key=lambda r: r["rank"]
        )
        known = {item for item in range(ITEMS) if heard_before(user, item)}
        items = [int(row["item_id"][1:]) for row in mine]
        assert set(items) == set(range(ITEMS)) - known
        assert all(in_block(user, item) for item in items[:2])
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert [row["score"] for row in mine] == sorted((r["score"] for r in mine), reverse=True)
        assert {(row["model_run_id"], row["source"]) for row in mine} == {(9, "personal")}
        because = int(mine[0]["reason"].removeprefix("because you played Title t"))
        assert because in known
        assert in_block(user, because)


def test_the_same_seed_gives_the_same_factors(
    numbered: "DataFrame", parameters: "AlsParameters"
) -> None:
    from recommender.als import fit
    from recommender.split import Decay, everything, ratings

    view = everything(numbered, Decay(SPLIT + DAY, 30 * DAY))
    one, other = (fit(ratings(view), ITEMS, parameters).items for _ in range(2))
    np.testing.assert_allclose(one.factors, other.factors, rtol=1e-4, atol=1e-5)
    assert one.trained.all()


def test_factors_that_are_not_numbers_are_refused(spark: "SparkSession") -> None:
    from recommender.als import gather

    factors = spark.createDataFrame([(0, [1.0, float("nan")])], "id int, features array<float>")
    with pytest.raises(EncoreError, match="did not converge"):
        gather(factors, 1, 2)


@pytest.fixture
def four_pairs(spark: "SparkSession") -> "DataFrame":
    from recommender.dataset import PAIR_SCHEMA, number_users

    return number_users(
        spark.createDataFrame(
            [
                ("u1", 0, 2.0, False, 70 * DAY, 70 * DAY),  # ended a half-life before the split
                ("u1", 1, 9.0, False, 70 * DAY, 130 * DAY),  # began before it and went on
                ("u1", 2, 1.0, False, 130 * DAY, 130 * DAY),  # began after it
                ("u1", 3, 5.0, True, 70 * DAY, 70 * DAY),  # disliked
                ("u1", 4, 0.0, False, 70 * DAY, 70 * DAY),  # skipped
                ("u1", -1, 0.0, False, 70 * DAY, 70 * DAY),  # nobody's positive: no number
            ],
            PAIR_SCHEMA,
        )
    )


def test_the_training_part_knows_no_later_signal(four_pairs: "DataFrame") -> None:
    from recommender.split import Decay, before

    row = before(four_pairs, Decay(SPLIT, 30 * DAY)).collect()[0]
    assert row["known"] == [0, 1, 3, 4]
    # 2 halved once; at most one play of day 70, halved once; disliked and skipped weigh nothing
    assert row["weights"] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert row["relevant"] == [2]


def test_the_final_model_uses_full_signals_decayed_to_one_moment(four_pairs: "DataFrame") -> None:
    from recommender.split import Decay, everything, ratings

    view = everything(four_pairs, Decay(130 * DAY, 30 * DAY))
    row = view.collect()[0]
    assert row["known"] == [0, 1, 2, 3, 4]
    assert row["weights"] == pytest.approx([0.5, 9.0, 1.0, 0.0, 0.0])
    rated = {(one["item"], one["rating"]) for one in ratings(view).collect()}
    assert rated == {(0, 0.5), (1, 9.0), (2, 1.0)}


def test_a_signal_from_the_future_is_not_amplified(four_pairs: "DataFrame") -> None:
    from recommender.split import Decay, everything

    row = everything(four_pairs, Decay(70 * DAY, DAY / 1000)).collect()[0]
    assert row["weights"] == pytest.approx([2.0, 9.0, 1.0, 0.0, 0.0])
