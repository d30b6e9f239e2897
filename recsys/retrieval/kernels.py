"""Retrieval for a batch of users in numpy: no Spark, no state, one thread. Each works on proposals.

Items are positions in an array that is sorted by public id, so that ordering by position is ordering by id. Sums run
over a user's own values in a fixed order and products are taken in float64, so that a result depends neither on the
other users of its batch nor on how items are cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MARGIN = 8
"""Items fetched beyond what is needed, so that ties at the cut are nearly always seen whole."""
_CHUNK = 1 << 22
"""Numbers held at once where a step needs a dense block."""


@dataclass(frozen=True)
class Proposals:
    """What one source proposes to a batch: one entry per user and item, by user and rank.

    Attributes
    ----------
    user, item : int arrays
        Row of the batch, position of the item.
    rank : int array
        From 1, dense for each user.
    score : float array
        On the source's own scale.
    because : int array or None
        Position of the item that led there.
    """

    user: Ints
    item: Ints
    rank: Ints
    score: Floats
    because: Ints | None = None


class Excluded:
    """Pairs of user row and item position that must not be proposed."""

    def __init__(self, user: Ints, item: Ints, n_users: int, n_items: int) -> None:
        self.n_users, self.n_items = n_users, n_items
        known = item >= 0
        self._keys = user[known] * n_items + item[known]
        self.counts: Ints = np.bincount(user[known], minlength=n_users).astype(np.int64)

    @cached_property
    def _bits(self) -> NDArray[np.bool_] | None:
        """A dense bitmap while it is small; it answers several times faster than a search."""
        if self.n_users * self.n_items > 8 * _CHUNK:
            self._keys.sort()
            return None
        bits = np.zeros(self.n_users * self.n_items, dtype=np.bool_)
        bits[self._keys] = True
        return bits

    def has(self, user: Ints, item: Ints) -> NDArray[np.bool_]:
        """Tell for each pair (arrays that broadcast together) whether it is excluded."""
        keys = user * self.n_items + item
        if self._bits is not None:
            return np.asarray(self._bits[keys])
        if not len(self._keys):
            return np.zeros(keys.shape, dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.asarray(self._keys[at] == keys)


@dataclass
class ItemMatrix:
    """Item factors, shape (n, rank), float32, with the position of each row (ascending)."""

    positions: Ints
    vectors: NDArray[np.float32]

    def __getstate__(self) -> dict[str, Any]:
        return {"positions": self.positions, "vectors": self.vectors}

    @cached_property
    def index(self) -> Any:
        """The exact inner-product index; built once per worker process."""
        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(self.vectors)
        return index

    @cached_property
    def longest(self) -> float:
        """Length of the longest vector."""
        return float(np.sqrt((self.vectors.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0)))


def best(user: Ints, item: Ints, score: Floats, k: int) -> tuple[Ints, Ints]:
    """Choose the `k` best entries of each user, equal scores by item.

    Parameters
    ----------
    user, item : int arrays
        Grouped by user, ascending.

    Returns
    -------
    chosen, rank : int arrays
        Places in the input by user and rank, and the ranks from 1.
    """
    bounds = np.flatnonzero(np.r_[True, user[1:] != user[:-1], True]) if len(user) else np.zeros(1, np.int64)
    keep = np.ones(len(user), dtype=np.bool_)
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        if end - start > 2 * k:
            mine = score[start:end]
            keep[start:end] = mine >= np.partition(mine, end - start - k)[end - start - k]
    kept = np.flatnonzero(keep)
    order = kept[np.lexsort((item[kept], -score[kept], user[kept]))]
    rank = ranks_within(user[order])
    return order[rank <= k], rank[rank <= k]


def ranks_within(user: Ints) -> Ints:
    """Number the entries of each user from 1; entries of a user stand together."""
    if not len(user):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    lengths = np.diff(np.r_[starts, len(user)])
    return np.arange(len(user)) - np.repeat(starts, lengths) + 1


def search(items: ItemMatrix, users: Ints, vectors: NDArray[np.float32], *, k: int, excluded: Excluded) -> Proposals:
    """Exact top-k by inner product: fetched by faiss in float32, scored and ordered in float64.

    Each user's own number of excluded items decides how many are fetched. Where float32 can't tell for sure that the
    k-th was fetched (many equal vectors), that user's scores are computed in full.

    Parameters
    ----------
    users : int array
        Rows of the batch that the vectors belong to, ascending.
    """
    n = len(items.positions)
    if not n or not len(users):
        return _none()
    wanted = np.minimum(k + excluded.counts[users] + _MARGIN, n)
    # Powers of two, so that a batch takes a few searches and nobody pays for its heaviest reader.
    fetch = np.minimum(1 << np.ceil(np.log2(wanted)).astype(np.int64), n)
    parts = []
    for size in np.unique(fetch):
        rows = np.flatnonzero(fetch == size)
        for chunk in np.array_split(rows, -(-len(rows) * int(size) * vectors.shape[1] // _CHUNK)):
            parts.append(_search_equal(items, users[chunk], vectors[chunk], int(size), k, excluded))
    user, item, score = (np.concatenate([part[i] for part in parts]) for i in range(3))
    order = np.lexsort((item, -score, user))
    user, item, score = user[order], item[order], score[order]
    return Proposals(user, item, ranks_within(user), score)


def _search_equal(
    items: ItemMatrix, users: Ints, vectors: NDArray[np.float32], size: int, k: int, excluded: Excluded
) -> tuple[Ints, Ints, Floats]:
    """Search for users who all need the same number of items."""
    n = len(items.positions)
    sure = np.ones(len(users), dtype=np.bool_)
    if 2 * size >= n:
        sure[:] = False
        found = _empty_entries()
    else:
        reached, rows = items.index.search(np.ascontiguousarray(vectors), size)
        rows = np.sort(rows.astype(np.int64), axis=1)
        precise = vectors.astype(np.float64)
        score = (items.vectors[rows].astype(np.float64) * precise[:, None, :]).sum(axis=2)
        item = items.positions[rows]
        score[excluded.has(users[:, None], item)] = -np.inf
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]
        item, score = np.take_along_axis(item, order, axis=1), np.take_along_axis(score, order, axis=1)
        slack = vectors.shape[1] * 2.0**-22 * np.sqrt((precise**2).sum(axis=1)) * items.longest
        sure = (rows[:, 0] >= 0) & (score[:, -1] > reached[:, -1] + slack)
        found = (np.repeat(users[sure], score.shape[1]), item[sure].ravel(), score[sure].ravel())
    parts = [found, *(_search_all(items, int(users[i]), vectors[i], k, excluded) for i in np.flatnonzero(~sure))]
    user, item, score = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return user, item, score


def _search_all(
    items: ItemMatrix, user: int, vector: NDArray[np.float32], k: int, excluded: Excluded
) -> tuple[Ints, Ints, Floats]:
    """Score every item for one user."""
    precise = vector.astype(np.float64)
    step = max(1, _CHUNK // max(1, len(vector)))
    score = np.concatenate(
        [
            (items.vectors[start : start + step].astype(np.float64) * precise).sum(axis=1)
            for start in range(0, len(items.vectors), step)
        ]
    )
    rows = np.flatnonzero(~excluded.has(np.full(1, user), items.positions))
    same = np.full(len(rows), user, dtype=np.int64)
    chosen, _ = best(same, rows, score[rows], k)
    return same[chosen], items.positions[rows[chosen]], score[rows[chosen]]


def _empty_entries() -> tuple[Ints, Ints, Floats]:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64)


def _none() -> Proposals:
    user, item, score = _empty_entries()
    return Proposals(user, item, np.zeros(0, np.int64), score, np.zeros(0, np.int64))


@dataclass(frozen=True)
class NeighborLists:
    """Neighbours of every position: those of `p` lie at `offsets[p] : offsets[p + 1]`."""

    offsets: Ints
    targets: NDArray[np.int32]
    scores: Floats


def follow(lists: NeighborLists, user: Ints, item: Ints, weight: Floats, *, k: int, excluded: Excluded) -> Proposals:
    """Add up the neighbours of each user's recent items.

    Parameters
    ----------
    user, item, weight : arrays
        Recent items, by user and then in the order in which sums run; of equal contributions the first is the cause.
    """
    lengths = lists.offsets[item + 1] - lists.offsets[item]
    total = int(lengths.sum())
    if not total:
        return _none()
    starts = np.repeat(lists.offsets[item] - (np.cumsum(lengths) - lengths), lengths)
    entry = starts + np.arange(total)
    part = np.repeat(weight, lengths) * lists.scores[entry]
    key = np.repeat(user, lengths) * excluded.n_items + lists.targets[entry]
    cause = np.repeat(item, lengths)
    order = np.argsort(key, kind="stable")
    key, part, cause = key[order], part[order], cause[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    group = np.repeat(np.arange(len(first)), np.diff(np.r_[first, total]))
    score = np.bincount(group, weights=part).astype(np.float64)
    largest = np.flatnonzero(part == np.maximum.reduceat(part, first)[group])[::-1]
    because = np.zeros(len(first), dtype=np.int64)
    because[group[largest]] = cause[largest]
    to_user, to_item = np.divmod(key[first], excluded.n_items)
    free = np.flatnonzero(~excluded.has(to_user, to_item))
    chosen, rank = best(to_user[free], to_item[free], score[free], k)
    at = free[chosen]
    return Proposals(to_user[at], to_item[at], rank, score[at], because[at])


def take_listed(lists: list[tuple[Ints, Floats]], which: Ints, *, k: int, excluded: Excluded) -> Proposals:
    """Give each user the first `k` items of a ready list that are not excluded.

    Parameters
    ----------
    lists : list of (items, scores)
        Items in order; none twice in a list.
    which : int array
        Which list each row of the batch takes.
    """
    parts = []
    for code in np.unique(which):
        items, scores = lists[code]
        users = np.flatnonzero(which == code)
        free = ~excluded.has(users[:, None], items[None, :])
        rank = np.cumsum(free, axis=1)
        row, column = np.nonzero(free & (rank <= k))
        parts.append((users[row], items[column], rank[row, column], scores[column]))
    if not parts:
        return _none()
    user, item, rank, score = (np.concatenate([part[i] for part in parts]) for i in range(4))
    order = np.lexsort((rank, user))
    return Proposals(user[order], item[order], rank[order], score[order])
