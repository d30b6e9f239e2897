"""Weights of retrievers, fitted on past lists by what users then took up. In numpy and scipy, on one machine.

Three kinds of blend are tried beside the one of the config: by ranks alone, by scores alone, and by both. Their weights
maximize the likelihood of what was taken up, given the list (a softmax over it), are not negative and are shrunk a
little towards 0. Users are dealt to five folds; the lists of each fold are ordered by weights fitted on the others, and
NDCG decides between the kinds. The best one is used if it is better than the config's blend by a 95 % interval of the
paired difference, and is then fitted once more on all lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recsys.arrow import ranks_within
from recsys.retrieval.blend import Blend, nearness
from recsys.retrieval.kernels import Floats, Ints

Kind = Literal["config", "ranks", "scores", "both"]
CONFIG: Final = "config"
FITTED: Final[tuple[Kind, ...]] = ("ranks", "scores", "both")
K: Final = 10
"""Cut-off of the NDCG that decides."""
MIN_LISTS: Final = 30
"""Fewer lists with something that was taken up tell nothing."""
_FOLDS = 5
_PENALTY = 1e-3
"""Of half the squared weights, beside the mean log-likelihood of a list."""


@dataclass(frozen=True)
class PastLists:
    """Candidates of past instants, whole lists.

    Attributes
    ----------
    names : sequence of str
        The retrievers.
    group : int array
        The list of each row, ascending from 0.
    user : int array
        A hash of the user of each list.
    label : float array
        1 for what was taken up, else 0; each list has some of both.
    rank : int array, rows x retrievers
        0 where the retriever did not propose the item.
    score : float array, rows x retrievers
    """

    names: Sequence[str]
    group: Ints
    user: Ints
    label: Floats
    rank: Ints
    score: Floats

    @property
    def starts(self) -> Ints:
        """The first row of each list."""
        return np.flatnonzero(np.r_[True, self.group[1:] != self.group[:-1]]) if len(self.group) else self.group

    def terms(self, kind: Kind, *, rrf_k: float) -> Floats:
        """What the weights of a kind multiply: rows x weights, each from 0 to 1."""
        parts = []
        for column in range(len(self.names)):
            rank, score = self.rank[:, column], self.score[:, column]
            made = rank > 0
            if kind in ("ranks", "both"):
                parts.append(np.where(made, (rrf_k + 1.0) / (rrf_k + np.maximum(rank, 1)), 0.0))
            if kind in ("scores", "both"):
                near = np.zeros(len(rank))
                near[made] = nearness(self.group[made], rank[made], score[made])
                parts.append(near)
        return np.stack(parts, axis=1)


@dataclass(frozen=True)
class Blending:
    """What came of a fit.

    Attributes
    ----------
    blend : Blend
        What is used.
    kind : {"config", "ranks", "scores", "both"}
        Which kind that is.
    lists : int
        Past lists with something that was taken up.
    ndcg : mapping of str to float
        NDCG@10 of each kind on lists that its weights were not fitted on.
    gain, low, high : float
        Of the best fitted kind over the config's blend, with its 95 % interval.
    """

    blend: Blend
    kind: Kind
    lists: int
    ndcg: Mapping[str, float] = field(default_factory=dict)
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def figures(self) -> dict[str, float]:
        """As the metrics of a row of `models`."""
        tried = {f"ndcg_{kind}": value for kind, value in self.ndcg.items()}
        gains = {"gain": self.gain, "gain_low": self.low, "gain_high": self.high} if self.ndcg else {}
        return {**self.blend.figures(), "lists": float(self.lists), **tried, **gains}

    def verdict(self) -> str:
        """Which blend is used, and why."""
        if not self.ndcg:
            return (
                f"the config's weights: {self.lists} past lists have an item that was taken up, {MIN_LISTS} are needed "
                "to fit others"
            )
        best = max(FITTED, key=lambda kind: self.ndcg[kind])
        figures = (
            f"NDCG@{K} {self.ndcg[best]:.4f} on {self.lists:,} past lists, {self.gain:+.4f} [{self.low:+.4f}, "
            f"{self.high:+.4f}] against {self.ndcg[CONFIG]:.4f} by the config's"
        )
        used = "the config's weights" if self.kind == CONFIG else "fitted weights"
        return f"{used}: those by {'ranks and scores' if best == 'both' else best} give {figures}"


def fit_blend(past: PastLists, start: Blend) -> Blending:
    """Choose and fit the blend of a union.

    Parameters
    ----------
    past : PastLists
    start : Blend
        The config's.
    """
    lists = len(past.starts)
    if lists < MIN_LISTS:
        return Blending(start, CONFIG, lists)
    fold = (past.user % _FOLDS)[past.group]
    found = {CONFIG: ndcg(past, _by(past, start))}
    for kind in FITTED:
        terms, score = past.terms(kind, rrf_k=start.rrf_k), np.zeros(len(past.group))
        for out in range(_FOLDS):
            mine = fold == out
            score[mine] = terms[mine] @ fitted_weights(terms[~mine], past.label[~mine], past.group[~mine])
        found[kind] = ndcg(past, score)
    means = {kind: float(values.mean()) for kind, values in found.items()}
    best = max(FITTED, key=lambda kind: means[kind])
    gain, error = _paired(found[best] - found[CONFIG], past.user)
    low, high = gain - 1.96 * error, gain + 1.96 * error
    if low <= 0:
        return Blending(start, CONFIG, lists, means, gain, low, high)
    return Blending(_refit(past, best, start), best, lists, means, gain, low, high)


def _refit(past: PastLists, kind: Kind, start: Blend) -> Blend:
    weights = fitted_weights(past.terms(kind, rrf_k=start.rrf_k), past.label, past.group)
    by_rank, by_score = np.zeros(len(past.names)), np.zeros(len(past.names))
    if kind == "both":
        by_rank, by_score = weights[0::2], weights[1::2]
    elif kind == "ranks":
        by_rank = weights
    else:
        by_score = weights
    return Blend(
        start.rrf_k,
        {name: float(w * (start.rrf_k + 1.0)) for name, w in zip(past.names, by_rank, strict=True)},
        {name: float(w) for name, w in zip(past.names, by_score, strict=True)},
    )


def fitted_weights(terms: Floats, label: Floats, group: Ints) -> Floats:
    """Weights, none below 0, under which what was taken up is likeliest: a softmax over each list.

    Parameters
    ----------
    terms : float array, rows x weights
    label : float array
    group : int array
        The list of each row, ascending.
    """
    _, starts, lengths = np.unique(group, return_index=True, return_counts=True)
    taken = np.add.reduceat(label, starts)
    share = label / np.repeat(taken, lengths)

    def loss(weights: Floats) -> tuple[float, Floats]:
        score = terms @ weights
        score -= np.repeat(np.maximum.reduceat(score, starts), lengths)
        odds = np.exp(score)
        total = np.add.reduceat(odds, starts)
        likely = odds / np.repeat(total, lengths)
        value = (np.log(total).sum() - share @ score) / len(starts) + _PENALTY / 2 * weights @ weights
        slope = terms.T @ (likely - share) / len(starts) + _PENALTY * weights
        return float(value), slope

    start = np.ones(terms.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(start))
    weights: Floats = np.round(found.x, 6)
    # Six digits: what the optimizer's last steps differ by must not change a list.
    return weights if weights.any() else start


def ndcg(past: PastLists, score: Floats) -> Floats:
    """NDCG@10 of each list, ordered by a score; equal scores keep the order of the rows."""
    starts = past.starts
    ranks = ranks_within(past.group, starts, -score)
    gains = np.where(ranks <= K, past.label / np.log2(1.0 + ranks), 0.0)
    taken = np.add.reduceat(past.label, starts).astype(np.int64)
    ideal = np.cumsum(1.0 / np.log2(1.0 + np.arange(1, K + 1)))
    found: Floats = np.add.reduceat(gains, starts) / ideal[np.minimum(taken, K) - 1]
    return found


def _by(past: PastLists, blend: Blend) -> Floats:
    score = np.zeros(len(past.group))
    for column, name in enumerate(past.names):
        made = past.rank[:, column] > 0
        score[made] += blend.shares(name, past.group[made], past.rank[made, column], past.score[made, column])
    return score


def _paired(difference: Floats, user: Ints) -> tuple[float, float]:
    """Mean difference of lists, and its standard error with each user's lists as one."""
    _, number = np.unique(user, return_inverse=True)
    mean = float(difference.mean())
    sums: NDArray[np.float64] = np.bincount(number, weights=difference - mean).astype(np.float64)
    n = len(sums)
    return mean, float(np.sqrt((sums**2).sum() * n / max(1, n - 1)) / len(difference))
