"""Settings that fit the data: from its size, for whoever does not give them."""

from __future__ import annotations

from dataclasses import dataclass
from math import cbrt

_SHARE = 0.05
"""What all interactions weigh together, of what all pairs without one weigh."""
_PER_ALPHA = 0.1
"""Regularization per confidence of an interaction of mean weight."""
_LEAST_REG = 0.01
_LEAST_RANK, _MOST_RANK, _MOST_RANK_OF_RATINGS = 8, 128, 16
_ALPHA = (1.0, 500.0)
"""Bounds of the confidence of an interaction of mean weight."""
_RATING_REG = (0.05, 0.2)
ITERATIONS, ITERATIONS_OF_RATINGS = 12, 15


@dataclass(frozen=True)
class Size:
    """What is left to learn from after rare users and items are gone.

    Attributes
    ----------
    users, items, interactions : int
        Each at least 1.
    weight : float
        Sum of the weights of the interactions; 0 counts as one per interaction.
    """

    users: int
    items: int
    interactions: int
    weight: float

    @property
    def mean_weight(self) -> float:
        """Mean weight of an interaction."""
        return self.weight / self.interactions if self.weight > 0 else 1.0


@dataclass(frozen=True)
class Fit:
    """What MLlib is given: the settings that were asked for, the others from the size of the data."""

    rank: int
    iterations: int
    reg: float
    alpha: float


def fit_for(
    size: Size, *, implicit: bool, rank: int | None, iterations: int | None, reg: float | None, alpha: float | None
) -> Fit:
    """Choose what is not given.

    - `rank`: the first power of 2 that reaches the cube root of the interactions, from 8 to 128 (16 for ratings).
    - `alpha`: all interactions together weigh a twentieth of all pairs without one, so .05 / density for a weight of 1;
      the confidence of a mean interaction stays from 1 to 500. Rendle and others find the same share on larger sets
      (Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022).
    - `reg`: a tenth of the confidence of a mean interaction, also of an `alpha` that is given. For ratings, .3
      over the cube root of the ratings per user or item, from .05 to .2.
    - `iterations`: 12, or 15 for ratings.

    Parameters
    ----------
    rank, iterations, reg, alpha : number, optional
        What was asked for, and is kept.
    """
    chosen_rank = rank or _rank(size.interactions, most=_MOST_RANK if implicit else _MOST_RANK_OF_RATINGS)
    if not implicit:
        per_row = size.interactions / (size.users + size.items)
        chosen_reg = _between(0.3 / cbrt(per_row), _RATING_REG) if reg is None else reg
        return Fit(chosen_rank, iterations or ITERATIONS_OF_RATINGS, chosen_reg, alpha or 0.0)
    if alpha is None:
        confidence = _between(_SHARE * size.users * size.items / size.interactions, _ALPHA)
        alpha = _rounded(confidence / size.mean_weight)
    chosen_reg = _rounded(max(_PER_ALPHA * alpha * size.mean_weight, _LEAST_REG)) if reg is None else reg
    return Fit(chosen_rank, iterations or ITERATIONS, chosen_reg, alpha)


def _rank(interactions: int, *, most: int) -> int:
    rank = _LEAST_RANK
    while rank < most and rank**3 < interactions:
        rank *= 2
    return rank


def _between(value: float, bounds: tuple[float, float]) -> float:
    return _rounded(min(max(value, bounds[0]), bounds[1]))


def _rounded(value: float) -> float:
    """Three digits, which is more than matters, are easier to read, and write again."""
    return float(f"{value:.3g}")
