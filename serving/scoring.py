"""Scores by the model in memory, for listeners that no list was made for. Pure: no service."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recommender.bundle import Bundle
from recommender.entries import entries
from recommender.live.listeners import Listeners
from recommender.topk import Floats, Indexes, mask, top_k


@dataclass(frozen=True, slots=True)
class Scored:
    """An item by its id, with its score and what speaks for it."""

    item_id: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class ScoredByAll(Scored):
    """An item for several listeners: ``by_user`` is each one's predicted preference."""

    by_user: Mapping[str, float]


def for_session(
    bundle: Bundle,
    weights: Mapping[str, float],
    exclude: Iterable[str],
    n: int,
    *,
    per_artist: int = 0,
    per_genre: int = 0,
) -> list[Scored]:
    """Return the best items for somebody who gave items those weights, which are left out.

    The factors are the exact half-step of ALS. Where the model knows none of the items, nothing
    is returned. Caps of 0 are those of the model's own rules.
    """
    number = bundle.catalogue.number
    given = {number[one]: weight for one, weight in weights.items() if one in number}
    if not given:
        return []
    row = _row(given, len(bundle.catalogue.ids))
    left_out = _numbers(bundle, [*weights, *exclude])
    rules = replace(
        bundle.rules,
        per_artist=per_artist or bundle.rules.per_artist,
        per_genre=per_genre or bundle.rules.per_genre,
        exploration=0.0,
    )
    with threadpool_limits(1):
        made = replace(bundle, rules=rules).lists([""], row, [left_out], n)
    found = entries(bundle.catalogue, made)
    columns = (found.item_ids.to_pylist(), found.scores.tolist(), found.reasons.to_pylist())
    return [Scored(*one) for one in zip(*columns, strict=True)]


def for_group(
    bundle: Bundle,
    listeners: Listeners,
    exclude: Iterable[str],
    n: int,
    *,
    exclude_known: bool,
    least: bool,
) -> list[ScoredByAll]:
    """Return the best items for several listeners, by the mean or the least of what they prefer."""
    if not listeners.user_ids:
        return []
    with threadpool_limits(1):
        folded, scores = bundle.scores(listeners.weights, [])
        together: Floats = scores.min(axis=0) if least else scores.mean(axis=0, dtype=np.float32)
        known = listeners.known if exclude_known else ()
        left_out = np.concatenate([_numbers(bundle, exclude), *known]).astype(np.int64)
        ranked = together[None, :].copy()
        mask(ranked, [left_out])
        items, values = top_k(ranked, n)
        items, values = items[:, np.isfinite(values[0])], values[:, np.isfinite(values[0])]
        every = np.repeat(items, len(listeners.user_ids), axis=0)
        because = folded.contributors(every)
    titles = bundle.catalogue.titles
    found = []
    for place, item in enumerate(items[0].tolist()):
        fan = int(scores[:, item].argmax())
        by_user = dict(zip(listeners.user_ids, scores[:, item].tolist(), strict=True))
        said = f"because {listeners.user_ids[fan]} played {titles[because[fan, place]]}"
        score = float(values[0, place])
        found.append(ScoredByAll(bundle.catalogue.ids[item], score, said, by_user))
    return found


def because(bundle: Bundle, listeners: Listeners, item_id: str) -> list[tuple[str, float]]:
    """Return one listener's items and what each adds to the predicted preference, most first."""
    folded = bundle.half_step.fold_in(listeners.weights)
    items, shares = folded.shares(0, bundle.catalogue.number[item_id])
    order = np.lexsort((items, -shares))
    return [(bundle.catalogue.ids[items[at]], float(shares[at])) for at in order]


def estimates(
    bundle: Bundle, listeners: Listeners, item_ids: Sequence[str]
) -> dict[str, float | None]:
    """Return one listener's predicted preference for items; None for those without a model."""
    (factors,) = bundle.half_step.solve(listeners.weights)
    number = bundle.catalogue.number
    return {
        one: float(bundle.half_step.factors[number[one]] @ factors) if one in number else None
        for one in item_ids
    }


def _row(given: Mapping[int, float], items: int) -> sp.csr_matrix:
    columns = np.array(sorted(given), np.int64)
    values = np.array([given[one] for one in columns.tolist()], np.float32)
    return sp.csr_matrix((values, (np.zeros(len(columns), np.int64), columns)), (1, items))


def _numbers(bundle: Bundle, item_ids: Iterable[str]) -> Indexes:
    number = bundle.catalogue.number
    return np.array(sorted({number[one] for one in item_ids if one in number}), np.int64)
