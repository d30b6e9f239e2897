"""How similar two items are, from counts of users: named formulas in numpy.

In all of them c is the number of users in common (each counted as much as `parts` says), n_i and n_j the users of the
two items, N all users, and M all items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys.retrieval.kernels import Floats, Ints

Similarity = Literal[
    "generalized",
    "cosine",
    "asymmetric_cosine",
    "jaccard",
    "lift",
    "llr",
    "pearson",
    "tfidf",
    "bm25",
    "rp3beta",
]
"""Names of the formulas."""

Powers = tuple[float, float, float]
"""b, a and c: how much a long history, a popular source and a popular target are discounted."""

UNIT = 1 << 24
"""A user who counts in full counts this much: sums are of integers, so that none depends on the order of its terms."""

BM25_K1, BM25_B = 100.0, 0.8
"""Saturation and length normalization of BM25, for items whose "length" is the number of their users."""

ONLY_COUNTS = ("jaccard", "lift", "llr", "pearson")
"""Formulas over contingency tables, in which everybody counts the same."""


@dataclass(frozen=True)
class Population:
    """What a formula may need to know beside two items.

    Attributes
    ----------
    users : int
        Users with any item: N.
    mean_count : float
        Mean number of users of an item.
    """

    users: int
    mean_count: float


@dataclass(frozen=True)
class Formula:
    """A similarity with its settings.

    Attributes
    ----------
    similarity : str
        Its name; the powers count for `generalized` alone, which most others are cases of.
    powers : tuple of float
        b, a and c.
    shrinkage : float
        A score is multiplied by support / (support + shrinkage): how little is made of few users.
    smoothing : float
        Added to n_i and n_j before they are raised to a power.
    """

    similarity: Similarity
    powers: Powers
    shrinkage: float
    smoothing: float = 0.0

    def parts(self, sizes: Ints, n_items: int) -> Ints:
        """How much each user counts, in units of 1 / `UNIT`: n_u^-b, or the squared IDF for `tfidf` and `bm25`.

        Parameters
        ----------
        sizes : int array
            Items of each user, of the whole history.
        n_items : int
            M.
        """
        if self.similarity in ("tfidf", "bm25"):
            most = np.log(max(2, n_items))
            share = np.maximum(0.0, np.log(max(2, n_items) / (1.0 + sizes)) / most) ** 2
        else:
            share = np.maximum(sizes, 1).astype(np.float64) ** -self.powers[0]
        return np.asarray(np.rint(share * UNIT), np.int64)

    def scores(self, total: Floats, support: Ints, n_i: Ints, n_j: Ints, population: Population) -> Floats:
        """Score pairs of items, source i and target j; arrays of one length.

        Parameters
        ----------
        total : float array
            c: users in common, each as much as they count (1 at most).
        support : int array
            Users in common.
        """
        named = _NAMED.get(self.similarity)
        if named is not None:
            found = named(total, support.astype(np.float64), n_i.astype(np.float64), n_j.astype(np.float64), population)
        else:
            _, of_source, of_target = self.powers
            found = total * _power(n_i, -of_source, self.smoothing) * _power(n_j, -of_target, self.smoothing)
        return found * (support / (support + self.shrinkage)) if self.shrinkage else found


def _power(counts: Ints, power: float, smoothing: float) -> Floats:
    """Powers of smoothed counts, of which few are distinct."""
    table = (np.maximum(np.arange(counts.max(initial=0) + 1), 1) + smoothing) ** power
    return np.asarray(table[counts])


def _jaccard(_: Floats, both: Floats, n_i: Floats, n_j: Floats, __: Population) -> Floats:
    return both / (n_i + n_j - both)


def _lift(_: Floats, both: Floats, n_i: Floats, n_j: Floats, population: Population) -> Floats:
    return both * population.users / (n_i * n_j)


def _pearson(_: Floats, both: Floats, n_i: Floats, n_j: Floats, population: Population) -> Floats:
    """Correlation of the two columns of zeros and ones (phi); 0 where it is negative or an item is everybody's."""
    users = float(population.users)
    spread = np.sqrt(n_i * np.maximum(users - n_i, 0.0) * n_j * np.maximum(users - n_j, 0.0))
    found = np.divide(users * both - n_i * n_j, spread, out=np.zeros(len(both)), where=spread > 0)
    return np.maximum(found, 0.0)


def _llr(_: Floats, both: Floats, n_i: Floats, n_j: Floats, population: Population) -> Floats:
    """Log-likelihood ratio of the 2 x 2 table (Dunning, Computational Linguistics 19, 1993); 0 below independence."""
    users = float(population.users)
    cells = (both, n_i - both, n_j - both, np.maximum(users - n_i - n_j + both, 0.0))
    edges = (n_i, n_j, users - n_i, users - n_j)
    ratio = 2.0 * (sum(map(_xlogx, cells)) - sum(map(_xlogx, edges)) + _xlogx(np.array([users]))[0])
    return np.where(both * users > n_i * n_j, np.maximum(ratio, 0.0), 0.0)


def _xlogx(values: Floats) -> Floats:
    return np.asarray(values * np.log(np.maximum(values, 1.0)))


def _tfidf(total: Floats, _: Floats, n_i: Floats, n_j: Floats, __: Population) -> Floats:
    return np.asarray(total / np.sqrt(n_i * n_j))


def _bm25(total: Floats, _: Floats, n_i: Floats, n_j: Floats, population: Population) -> Floats:
    """Okapi BM25 of a term frequency of 1: both items' counts saturate (Robertson & Zaragoza, FnTIR 3, 2009)."""

    def saturated(count: Floats) -> Floats:
        length = 1.0 - BM25_B + BM25_B * count / max(population.mean_count, 1e-9)
        return (BM25_K1 + 1.0) / (BM25_K1 * length + 1.0)

    return total * saturated(n_i) * saturated(n_j)


_NAMED: dict[str, Callable[[Floats, Floats, Floats, Floats, Population], Floats]] = {
    "jaccard": _jaccard,
    "lift": _lift,
    "pearson": _pearson,
    "llr": _llr,
    "tfidf": _tfidf,
    "bm25": _bm25,
}
