"""The order of a union of retrievers: what each proposal adds to an item's score.

A proposal adds a / (c + rank) + b x nearness, summed over the retrievers that made it. The first term is weighted
reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009). The nearness, from 0 to 1, says where the
retriever's score lies between its first and its tenth proposal to the user: scores of different retrievers become
comparable, and how far the first is ahead still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from recsys.retrieval.declared import Entry
from recsys.retrieval.kernels import Floats, Ints

NEAR = 10
"""The proposals, from the first on, that give a user's scores their scale."""
_RANK, _SCORE, _CONSTANT = "by_rank.", "by_score.", "rrf_k"


@dataclass(frozen=True)
class Blend:
    """Weights of retrievers in a union.

    Attributes
    ----------
    rrf_k : float
        The constant c of the reciprocal ranks.
    by_rank, by_score : mappings of str to float
        The weights a and b of each retriever, by name; not negative.
    """

    rrf_k: float
    by_rank: Mapping[str, float]
    by_score: Mapping[str, float]

    @classmethod
    def of(cls, retrievers: Iterable[Entry], *, rrf_k: float) -> Self:
        """Return the blend of a config: by ranks alone, each retriever with its own weight."""
        weights = {one.name: float(one.weight) for one in retrievers}
        return cls(float(rrf_k), weights, dict.fromkeys(weights, 0.0))

    def covers(self, names: Iterable[str]) -> bool:
        """Whether it has a weight for each of these retrievers."""
        return set(names) <= set(self.by_rank)

    def figures(self) -> dict[str, float]:
        """As the metrics of a row of `models`."""
        return {
            _CONSTANT: self.rrf_k,
            **{f"{_RANK}{name}": weight for name, weight in self.by_rank.items()},
            **{f"{_SCORE}{name}": weight for name, weight in self.by_score.items()},
        }

    @classmethod
    def from_figures(cls, figures: Mapping[str, float]) -> Self:
        """Read what `figures` gave.

        Examples
        --------
        >>> one = Blend(10.0, {"als": 1.0}, {"als": 0.5})
        >>> Blend.from_figures({**one.figures(), "lists": 812.0}) == one
        True
        """
        by_rank, by_score = (
            {key.removeprefix(prefix): value for key, value in figures.items() if key.startswith(prefix)}
            for prefix in (_RANK, _SCORE)
        )
        return cls(figures[_CONSTANT], by_rank, by_score)

    def shares(self, name: str, user: Ints, rank: Ints, score: Floats) -> Floats:
        """What the proposals of a retriever add to the scores of their items."""
        by_rank: Floats = self.by_rank[name] / (self.rrf_k + rank)
        weight = self.by_score[name]
        return by_rank + weight * nearness(user, rank, score) if weight else by_rank


def nearness(user: Ints, rank: Ints, score: Floats) -> Floats:
    """Say where scores lie between the first and the tenth of the same user: 1 the first, 1/2 the tenth, 0 far below.

    Examples
    --------
    >>> rank = np.arange(1, 13)
    >>> [float(round(x, 3)) for x in nearness(np.zeros(12, int), rank, 12.0 - rank)[[0, 1, 9, 11]]]
    [1.0, 0.944, 0.5, 0.389]
    """
    n = int(user.max()) + 1 if len(user) else 0
    first, last, near = np.full(n, -np.inf), np.full(n, np.inf), rank <= NEAR
    np.maximum.at(first, user[near], score[near])
    np.minimum.at(last, user[near], score[near])
    span = (first - last)[user]
    safe = np.where(span > 0, span, 1.0)
    placed: Floats = np.where(span > 0, (score - last[user]) / safe, 0.0)
    return (1.0 + np.clip(placed, -1.0, 1.0)) / 2.0


def described(blend: Blend) -> str:
    """Say the weights in a line for the log.

    Examples
    --------
    >>> described(Blend(10.0, {"als": 11.0, "popular": 0.0}, {"als": 0.5, "popular": 0.25}))
    'als 1.00 by rank, 0.50 by score; popular 0.25 by score'
    """
    # A first proposal adds a / (c + 1): on that scale the two kinds of weights compare.
    terms: dict[str, str] = {}
    for name, weight in blend.by_rank.items():
        said = {"rank": weight / (blend.rrf_k + 1.0), "score": blend.by_score[name]}
        terms[name] = ", ".join(f"{value:.2f} by {kind}" for kind, value in said.items() if value) or "nothing"
    return "; ".join(f"{name} {term}" for name, term in terms.items())
