"""Metrics of top-k lists, one user at a time, for many users at once.

With r(i) = 1 where the item at rank i is relevant, R relevant items, and lists cut at k:

- recall = hits / R; precision = hits / k (a short list is not excused); hit_rate = 1 if there is a hit
- ndcg = sum r(i) / log2(1 + i), over the same for a list that starts with min(R, k) relevant items (Järvelin &
  Kekäläinen 2002, binary gain)
- map = sum over hits of (hits up to i) / i, over min(R, k)
- mrr = 1 / rank of the first hit, 0 without one
- novelty = mean of -log2 p(item) over the list, p the item's share of earlier events: bits of surprise
- diversity = share of the pairs of categorized items in the list that differ in category
- no_list = 1 for a user without a list (k = 0)

A user without a list counts 0 in all but the last three: novelty and diversity are means over those who have one (two
categorized items, for diversity), and no_list says how many those are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.arrow import Array

ACCURACY = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
CONDITIONAL = ("novelty", "diversity")
VALUES = ("truep", "regret")
"""Where the true value of an item to a user is known; see `recsys.evaluation.value`."""


@dataclass(frozen=True)
class Measure:
    """A metric at a cut-off (0: none)."""

    metric: str
    k: int

    @property
    def conditional(self) -> bool:
        """Whether it is a mean over those users alone for which it is defined."""
        return self.metric in (*CONDITIONAL, *VALUES)


def measures(ks: Sequence[int]) -> list[Measure]:
    """Every metric at every cut-off, in the order of the columns of `list_metrics`.

    >>> [f"{m.metric}@{m.k}" for m in measures([10])][:3]
    ['recall@10', 'precision@10', 'ndcg@10']
    """
    return [
        *(Measure(metric, k) for k in sorted(set(ks)) for metric in (*ACCURACY, *CONDITIONAL)),
        Measure("no_list", 0),
    ]


def list_metrics(
    present: Array,
    relevant: Array,
    information: Array,
    category: Array,
    n_relevant: Array,
    ks: Sequence[int],
) -> Array:
    """Compute every metric of many lists.

    Parameters
    ----------
    present, relevant : bool array, lists x depth
        Whether there is an item at rank column + 1, and whether it is relevant. Depth is at least max(ks).
    information : float array, lists x depth
        -log2 of the item's share of events; anything where nothing is present.
    category : int array, lists x depth
        A code of the item's category; -1 without one or where nothing is present.
    n_relevant : int array
        Relevant items of the list's user, at least 1.

    Returns
    -------
    float array, lists x measures
        NaN where a conditional metric is not defined.
    """
    rank = np.arange(1, present.shape[1] + 1)
    hit = relevant & present
    gains = np.cumsum(hit / np.log2(1.0 + rank), axis=1)
    hits = np.cumsum(hit, axis=1)
    precisions = np.cumsum(hit * hits / rank, axis=1)
    first = np.where(hits[:, -1] > 0, hit.argmax(axis=1) + 1, 0)
    ideal = np.cumsum(1.0 / np.log2(1.0 + rank))
    length = np.cumsum(present, axis=1)
    bits = np.cumsum(np.where(present, information, 0.0), axis=1)
    categorized, equal_pairs = _category_pairs(np.where(present, category, -1))
    columns: list[Array] = []
    for k in sorted(set(ks)):
        best = np.minimum(n_relevant, k)
        at = k - 1
        pairs = categorized[:, at] * (categorized[:, at] - 1) / 2.0
        columns += [
            hits[:, at] / n_relevant,
            hits[:, at] / k,
            gains[:, at] / ideal[best - 1],
            precisions[:, at] / best,
            np.where((first > 0) & (first <= k), 1.0 / np.maximum(first, 1), 0.0),
            (hits[:, at] > 0).astype(np.float64),
            _ratio(bits[:, at], length[:, at]),
            1.0 - _ratio(equal_pairs[:, at], pairs),
        ]
    columns.append((length[:, -1] == 0).astype(np.float64))
    return np.stack(columns, axis=1)


def _category_pairs(category: Array) -> tuple[Array, Array]:
    """Categorised items, and pairs of them with equal categories, among the first 1, 2, … columns."""
    known = category >= 0
    earlier = np.zeros(category.shape, dtype=np.int64)
    for column in range(1, category.shape[1]):
        same = category[:, :column] == category[:, column : column + 1]
        earlier[:, column] = np.where(known[:, column], same.sum(axis=1), 0)
    return np.cumsum(known, axis=1), np.cumsum(earlier, axis=1)


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
