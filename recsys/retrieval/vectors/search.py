"""Exact top-k by inner product for a batch of users: numpy, one matrix product per block of items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.retrieval.kernels import Excluded, Floats, Ints, Proposals, joined, nothing, ranks_within, where_in

Vectors = NDArray[np.float32]

Found = tuple[Ints, Ints, Floats]
"""Rows of users, positions of items, scores."""

_USERS = 128
"""Users that one matrix product works on."""
_ITEMS = 1 << 15
"""Items that one matrix product works on: with `_USERS`, 16 MiB of scores at once."""
_GROUPS = 16
"""Groups of items per item asked for, whose best scores tell where a list ends at the latest."""
_ENTRIES = 1 << 12
"""Scores in float64 that are computed at once: what stays in a core's cache takes half the time."""


@dataclass
class ItemMatrix:
    """Item factors, shape (n, rank), float32, with the position of each row (ascending)."""

    positions: Ints
    vectors: Vectors

    @cached_property
    def longest(self) -> float:
        """Length of the longest vector."""
        return float(np.sqrt((self.vectors.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0)))


def search(items: ItemMatrix, users: Ints, vectors: Vectors, *, k: int, excluded: Excluded) -> Proposals:
    """Exact top-k by inner product: chosen in float32, scored and ordered in float64, ties by position.

    A matrix product gives all scores of a block in float32. The k-th best score is at least the k-th best among the
    best of disjoint groups of items; what lies clearly below it, by more than float32 can be wrong, is out. The few
    that are left are scored in float64, so the result depends neither on the batch nor on the blocks.

    Parameters
    ----------
    users : int array
        Rows of the batch that the vectors belong to, ascending.
    """
    if not len(items.positions) or not len(users):
        return nothing()
    starts = range(0, len(users), _USERS)
    parts = [_search(items, users[at : at + _USERS], vectors[at : at + _USERS], k, excluded) for at in starts]
    user, item, score = joined(parts)
    return Proposals(user, item, ranks_within(user), score)


def _search(items: ItemMatrix, users: Ints, vectors: Vectors, k: int, excluded: Excluded) -> Found:
    """Search for a few users at once."""
    place, row = _contenders(items, users, vectors, k, excluded)
    if len(place) > _USERS * _ITEMS and len(users) > 1:
        # Equal scores without end, as for users without a taste: one by one, so that memory stays bounded.
        return joined(_search(items, users[i : i + 1], vectors[i : i + 1], k, excluded) for i in range(len(users)))
    score = products(items.vectors, vectors, row, place)
    order = np.argsort(-score, kind="stable")
    order = order[np.argsort(place[order].astype(np.int16), kind="stable")]
    order = order[ranks_within(place[order]) <= k]
    return users[place[order]], items.positions[row[order]], score[order]


def _contenders(
    items: ItemMatrix, users: Ints, vectors: Vectors, k: int, excluded: Excluded
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Leave out what can't be among the `k` best: places in `users` and rows of the matrix, by both."""
    precise = vectors.astype(np.float64)
    # Powers of 2 change no order, and bring all scores below 1: so one figure bounds how wrong they are.
    _, exponent = np.frexp(np.sqrt((precise**2).sum(axis=1)) * items.longest)
    scaled = np.ldexp(vectors, -exponent[:, None])
    slack = np.float32(vectors.shape[1] * 2.0**-22)
    who, item = excluded.among(users)
    away = where_in(items.positions, item)
    cut, found = np.full(len(users), -np.inf, np.float32), []
    for start in range(0, len(items.vectors), _ITEMS):
        score = scaled @ items.vectors[start : start + _ITEMS].T
        here = (away >= start) & (away < start + score.shape[1])
        score[who[here], away[here] - start] = -np.inf
        cut = np.maximum(cut, _kth(score, k) - slack)
        place, row = np.divmod(np.flatnonzero(score >= cut[:, None]), score.shape[1])
        found.append((place, row + start, score[place, row]))
    place, row, reached = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    # Earlier blocks were cut at less; and without a cut, what is excluded came along.
    kept = np.flatnonzero((reached >= cut[place]) & (reached > -np.inf))
    kept = kept[np.argsort(place[kept], kind="stable")] if len(found) > 1 else kept
    return place[kept], row[kept]


def _kth(score: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that at least `k` items of each row reach, close to the k-th best; -inf where there are fewer."""
    n = score.shape[1]
    if n < k:
        return np.full(len(score), -np.inf, np.float32)
    size = max(1, n // (_GROUPS * k))
    groups = n // size
    # The best of each of many groups: nearly all of the k best are alone in theirs.
    heads = score if size == 1 else score[:, : size * groups].reshape(len(score), size, groups).max(axis=1)
    return np.asarray(np.partition(heads, groups - k, axis=1)[:, groups - k])


def products(items: Vectors, users: Vectors, row: NDArray[np.intp], place: NDArray[np.intp]) -> Floats:
    """Inner products in float64, added up as `affinities` does."""
    precise, score = users.astype(np.float64), np.empty(len(row))
    for start in range(0, len(row), _ENTRIES):
        at = slice(start, start + _ENTRIES)
        score[at] = (items[row[at]].astype(np.float64) * precise[place[at]]).sum(axis=1)
    return score
