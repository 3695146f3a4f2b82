"""One training, whichever engine makes it: measure on the past, fit the present, make the lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from encore.settings import Settings
from recommender.als import AlsParameters
from recommender.artifact import Artifact
from recommender.blend import NEAREST
from recommender.bundle import Bundle
from recommender.catalogue import Catalogue
from recommender.content import learn_content
from recommender.models.linear import nearest
from recommender.quality import MOST_TESTED, Quality, measure
from recommender.rules import Rules
from recommender.steps import Steps
from recommender.trainer import Part, Trainer


@dataclass(frozen=True)
class Recipe:
    """What a training depends on beside its data. Times in seconds since 1970."""

    parameters: AlsParameters
    rules: Rules
    may_blend: bool
    now_s: float
    split_s: float


@dataclass(frozen=True)
class Trained:
    """What a training made, and how good it proved to be."""

    artifact: Artifact
    quality: Quality


def train(
    trainer: Trainer,
    catalogue: Catalogue,
    recipe: Recipe,
    steps: Steps,
    check: Callable[[Mapping[str, Any]], None],
) -> Trained:
    """Measure, hand the metrics to ``check``, which may refuse by raising, and fit the present.

    Raises:
        EncoreError: the model did not converge.
    """
    with steps("evaluate"):
        past = artifact_of(trainer.past, trainer, catalogue, recipe, recipe.split_s, {})
        quality = measure(
            past.bundle(catalogue, Rules(), 0),
            trainer.tested(MOST_TESTED),
            recipe.parameters.seed,
            may_blend=recipe.may_blend,
        )
    check(quality.metrics)
    with steps("train"):
        present = artifact_of(
            trainer.present, trainer, catalogue, recipe, recipe.now_s, quality.blend
        )
    return Trained(present, quality)


def artifact_of(
    part: Part,
    trainer: Trainer,
    catalogue: Catalogue,
    recipe: Recipe,
    now_s: float,
    blend: Mapping[str, float],
) -> Artifact:
    """Fit a part of the data and take what belongs to it."""
    als = part.fit()
    listeners, weights = part.listeners(), part.co_listening()
    recent = np.asarray(weights.sum(axis=0), np.float32).ravel()
    return Artifact(
        item_ids=list(catalogue.ids),
        als=als,
        listeners=listeners,
        trend=recent / max(float(recent.max(initial=0.0)), 1e-9),
        neighbours=nearest(weights, "cosine", NEAREST).T.tocsr(),
        content=learn_content(catalogue.attributes, als.factors, listeners * als.trained),
        model={
            "alpha": recipe.parameters.alpha,
            "regularization": recipe.parameters.regularization,
            "scaled": trainer.scaled,
            "blend": dict(blend),
            "now_s": now_s,
        },
    )


def recipe_of(current: Settings, parameters: AlsParameters, now_s: float, split_s: float) -> Recipe:
    """Take the recipe of the settings."""
    return Recipe(parameters, Rules.of(current), current.recommend_blend, now_s, split_s)


def bundle_of(trained: Trained, catalogue: Catalogue, recipe: Recipe, run: int) -> Bundle:
    """Return what makes everyone's list."""
    return trained.artifact.bundle(catalogue, recipe.rules, run)
