"""MLlib's engine on data whose right answer is known: two groups of users, two blocks of items."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from encore.errors import EncoreError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from recommender.als import AlsParameters
    from recommender.catalogue import Catalogue
    from recommender.mllib import SparkTrainer

pytestmark = pytest.mark.spark

USERS, ITEMS = 24, 20
HALF = ITEMS // 2


def in_block(user: int, item: int) -> bool:
    return (user % 2 == 0) == (item < HALF)


def heard_before(user: int, item: int) -> bool:
    return in_block(user, item) and (user // 2 + item) % 5 != 0


def heard_after(user: int, item: int) -> bool:
    return in_block(user, item) and (user // 2 + item) % 5 == 0 and item % 2 == 0


def pair(user: int, item: int, *, later: bool) -> tuple[Any, ...]:
    return (f"u{user:02}", item, 1.0, None if later else 1.0, later)


@pytest.fixture(scope="module")
def parameters() -> "AlsParameters":
    from recommender.als import AlsParameters

    return AlsParameters(rank=4, iterations=6, regularization=0.1, alpha=10, seed=3, blocks=2)


@pytest.fixture(scope="module")
def numbered(spark: "SparkSession") -> "Iterator[DataFrame]":
    from recommender.dataset import PAIR_SCHEMA, number_users

    cells = [(user, item) for user in range(USERS) for item in range(ITEMS)]
    pairs = [pair(user, item, later=False) for user, item in cells if heard_before(user, item)]
    pairs += [pair(user, item, later=True) for user, item in cells if heard_after(user, item)]
    made = number_users(spark.createDataFrame(pairs, PAIR_SCHEMA)).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def trainer(numbered: "DataFrame", parameters: "AlsParameters") -> "SparkTrainer":
    from recommender.mllib import SparkTrainer

    return SparkTrainer(numbered, ITEMS, parameters)


@pytest.fixture(scope="module")
def catalogue() -> "Catalogue":
    from tests.models import plain_catalogue

    return plain_catalogue([f"t{item:02}" for item in range(ITEMS)])


def test_users_are_numbered_from_zero_without_gaps(numbered: "DataFrame") -> None:
    rows = numbered.select("user_id", "user").collect()
    assert sorted(row["user"] for row in rows) == list(range(USERS))
    assert len({row["user_id"] for row in rows}) == USERS


def test_als_finds_what_users_hear_next_and_popularity_does_not(
    trainer: "SparkTrainer", catalogue: "Catalogue", parameters: "AlsParameters"
) -> None:
    from recommender.quality import measure
    from recommender.rules import Rules
    from recommender.training import Recipe, artifact_of

    recipe = Recipe(parameters, Rules(), may_blend=True, now_s=0.0, split_s=0.0)
    artifact = artifact_of(trainer.past, trainer, catalogue, recipe, 0.0, {})
    assert trainer.past.listeners().sum() == USERS * 8
    tested = trainer.tested(100)
    metrics = measure(artifact.bundle(catalogue, Rules(), 0), tested, seed=1).metrics
    assert metrics["test_users"] == USERS
    # Two of ten in the block are not known: with both found first, ranks are near the best.
    assert metrics["als"]["ndcg@10"] > 0.75
    assert metrics["als"]["recall@20"] == 1.0
    assert metrics["als"]["ndcg@10"] > metrics["popularity"]["ndcg@10"]
    assert metrics["als"]["ndcg@10_low"] <= metrics["als"]["ndcg@10"]


def test_the_listeners_to_test_on_are_some_of_them_and_the_same_each_time(
    trainer: "SparkTrainer",
) -> None:
    one, other = trainer.tested(5), trainer.tested(5)
    assert len(one.known) == 5
    assert (one.weights != other.weights).nnz == 0
    for row, known in enumerate(one.known):
        assert set(one.weights[row].indices) <= set(known)
        assert set(known).isdisjoint(one.relevant[row].indices)


def test_lists_hold_unknown_items_of_the_own_block_first_with_their_reason(
    spark: "SparkSession",
    numbered: "DataFrame",
    trainer: "SparkTrainer",
    catalogue: "Catalogue",
    parameters: "AlsParameters",
) -> None:
    from recommender.lists import personal_lists
    from recommender.rules import Rules
    from recommender.split import before
    from recommender.training import Recipe, artifact_of

    recipe = Recipe(parameters, Rules(), may_blend=False, now_s=0.0, split_s=0.0)
    artifact = artifact_of(trainer.past, trainer, catalogue, recipe, 0.0, {})
    bundle = artifact.bundle(catalogue, Rules(), 9)
    rows = personal_lists(before(numbered), spark.sparkContext.broadcast(bundle), 50).collect()
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
        because = int(mine[0]["reason"].removeprefix("because of Title t"))
        assert because in known
        assert in_block(user, because)


def test_the_same_seed_gives_the_same_factors(trainer: "SparkTrainer") -> None:
    one, other = (trainer.present.fit() for _ in range(2))
    np.testing.assert_allclose(one.factors, other.factors, rtol=1e-4, atol=1e-5)
    assert one.trained.all()


def test_co_listening_has_every_positive_pair_of_a_small_data_set(trainer: "SparkTrainer") -> None:
    assert trainer.past.co_listening().nnz == USERS * 8
    assert trainer.present.co_listening().nnz == USERS * 8 + USERS


def test_factors_that_are_not_numbers_are_refused(spark: "SparkSession") -> None:
    from recommender.als import gather

    factors = spark.createDataFrame([(0, [1.0, float("nan")])], "id int, features array<float>")
    with pytest.raises(EncoreError, match="did not converge"):
        gather(factors, 1, 2)


@pytest.fixture
def five_pairs(spark: "SparkSession") -> "DataFrame":
    from recommender.dataset import PAIR_SCHEMA, number_users

    return number_users(
        spark.createDataFrame(
            [
                ("u1", 0, 0.5, 1.0, False),
                ("u1", 1, 1.0, None, True),  # began after the split
                ("u1", 2, 0.0, 0.0, False),  # disliked, or skipped
                ("u1", -1, 0.0, 0.0, False),  # an item without a number
            ],
            PAIR_SCHEMA,
        )
    )


def test_the_training_part_knows_nothing_that_began_later(five_pairs: "DataFrame") -> None:
    from recommender.split import before

    row = before(five_pairs).collect()[0]
    assert (row["known"], row["weights"], row["relevant"]) == ([0, 2], [1.0, 0.0], [1])


def test_the_final_model_is_fitted_to_all_that_weighs_something(five_pairs: "DataFrame") -> None:
    from recommender.split import everything, ratings

    view = everything(five_pairs)
    row = view.collect()[0]
    assert (row["known"], row["weights"]) == ([0, 1, 2], [0.5, 1.0, 0.0])
    rated = {(one["item"], one["rating"]) for one in ratings(view).collect()}
    assert rated == {(0, 0.5), (1, 1.0)}
