"""Neighbors of recent items, added up for a batch of users in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, nothing, ranks_within


@dataclass(frozen=True)
class NeighborLists:
    """Neighbors of every position: those of `p` lie at `offsets[p] : offsets[p + 1]`."""

    offsets: Ints
    targets: NDArray[np.int32]
    scores: Floats

    @property
    def widest(self) -> int:
        """Length of the longest list."""
        return int(np.diff(self.offsets).max(initial=0))


@dataclass(frozen=True)
class ItemItemKernel:
    """Neighbor lists, and how many recent items of a user they are taken of."""

    lists: NeighborLists
    recent_items: int

    @property
    def work(self) -> int:
        """Entries that it adds up for one user, at most."""
        return self.recent_items * self.lists.widest

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the neighbors of each user's recent items."""
        return add_up(self.lists, *recent(batch, self.recent_items), k=k, excluded=excluded)


def recent(batch: Batch, n: int) -> tuple[Ints, Ints, Floats]:
    """The first `n` items of interest of each user, with their share of the largest weight among them."""
    liked = np.flatnonzero(batch.weight > 0)
    liked = liked[ranks_within(batch.user[liked]) <= n]
    user, item, weight = batch.user[liked], batch.item[liked], batch.weight[liked]
    if len(user):
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        largest = np.maximum.reduceat(weight, first)
        weight = weight / np.repeat(largest, np.diff(np.r_[first, len(user)]))
    known = item >= 0
    return user[known], item[known], weight[known]


def add_up(lists: NeighborLists, user: Ints, item: Ints, weight: Floats, *, k: int, excluded: Excluded) -> Proposals:
    """Add up the neighbors of each user's recent items.

    Parameters
    ----------
    user, item, weight : arrays
        Recent items, by user and then in the order in which sums run; of equal contributions the first is the cause.
    """
    lengths = lists.offsets[item + 1] - lists.offsets[item]
    total = int(lengths.sum())
    if not total:
        return nothing()
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
