"""Neighbors of recent items, added up for a batch of users in numpy: to propose, and to score pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, nothing, ranks_within, where_in


@dataclass(frozen=True)
class NeighborLists:
    """Neighbors of every position: those of `p` lie at `offsets[p] : offsets[p + 1]`."""

    offsets: Ints
    targets: NDArray[np.int32]
    scores: Floats

    @classmethod
    def of(
        cls, catalog: Catalog, item: pa.ChunkedArray, neighbor: pa.ChunkedArray, score: pa.ChunkedArray
    ) -> NeighborLists:
        """Put the lists of a table one after the other; rows with an item that has no position are left out.

        Parameters
        ----------
        item, neighbor, score : Arrow columns
            Ids of two items, and what the first brings to the second; unique by pair, in any order.
        """
        source, target = catalog.find(item), catalog.find(neighbor)
        known = np.flatnonzero((source >= 0) & (target >= 0))
        order = known[np.lexsort((target[known], source[known]))]
        offsets = np.r_[0, np.cumsum(np.bincount(source[order], minlength=len(catalog)))].astype(np.int64)
        scores = score.to_numpy().astype(np.float64)
        return cls(offsets, target[order].astype(np.int32), scores[order])

    @property
    def widest(self) -> int:
        """Length of the longest list."""
        return int(np.diff(self.offsets).max(initial=0))


@dataclass(frozen=True)
class ItemItemKernel:
    """Neighbor lists, how many recent items of a user they are taken of, and how the items count (see `recent`)."""

    lists: NeighborLists
    recent_items: int
    decay: float | None = None

    @property
    def work(self) -> int:
        """Entries that it adds up for one user, at most."""
        return self.recent_items * self.lists.widest

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the neighbors of each user's recent items."""
        return add_up(self.lists, *recent(batch, self.recent_items, self.decay), k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Look the pairs up in the sums that proposals come from: 0 where nothing relates, null without a past."""
        n_items = max(1, len(self.lists.offsets) - 1)
        found = sums(self.lists, *recent(batch, self.recent_items, self.decay), n_items)
        at = np.where(item >= 0, where_in(found.key, user * n_items + item), -1)
        past = np.zeros(batch.n_users, dtype=np.bool_)
        past[batch.user[batch.weight > 0]] = True
        nothing_known = np.where(past[user], 0.0, np.nan)
        return {
            "score": np.where(at >= 0, np.r_[found.total, 0.0][at], nothing_known),
            "best": np.where(at >= 0, np.r_[found.largest, 0.0][at], nothing_known),
        }


def recent(batch: Batch, n: int, decay: float | None = None) -> tuple[Ints, Ints, Floats]:
    """The first `n` items of interest of each user, with their share of the largest weight among them.

    With `decay` the share is 1 for the latest item instead, and as many times `decay` as there are later items.
    """
    liked = np.flatnonzero(batch.weight > 0)
    place = ranks_within(batch.user[liked])
    liked, place = liked[place <= n], place[place <= n]
    user, item, weight = batch.user[liked], batch.item[liked], batch.weight[liked]
    if decay is not None:
        # Multiplied one by one, as the joins do it: a power may differ in its last bit.
        weight = np.cumprod(np.r_[1.0, np.full(place.max(initial=1) - 1, decay)])[place - 1]
    elif len(user):
        first = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
        largest = np.maximum.reduceat(weight, first)
        weight = weight / np.repeat(largest, np.diff(np.r_[first, len(user)]))
    known = item >= 0
    return user[known], item[known], weight[known]


@dataclass(frozen=True)
class Sums:
    """What the neighbors of recent items add up to: one entry per user and item that is reached, by user and item.

    Attributes
    ----------
    key : int array
        User x number of items + item, ascending.
    total, largest : float arrays
        The sum of all contributions, and the largest of them.
    because : int array
        Position of the recent item with the largest contribution, of equals the first.
    """

    key: Ints
    total: Floats
    largest: Floats
    because: Ints


def sums(lists: NeighborLists, user: Ints, item: Ints, weight: Floats, n_items: int) -> Sums:
    """Add up the neighbors of each user's recent items, given by user and then in the order in which sums run."""
    lengths = lists.offsets[item + 1] - lists.offsets[item]
    total = int(lengths.sum())
    if not total:
        return Sums(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    starts = np.repeat(lists.offsets[item] - (np.cumsum(lengths) - lengths), lengths)
    entry = starts + np.arange(total)
    part = np.repeat(weight, lengths) * lists.scores[entry]
    key = np.repeat(user, lengths) * n_items + lists.targets[entry]
    cause = np.repeat(item, lengths)
    order = np.argsort(key, kind="stable")
    key, part, cause = key[order], part[order], cause[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    group = np.repeat(np.arange(len(first)), np.diff(np.r_[first, total]))
    most = np.maximum.reduceat(part, first)
    largest = np.flatnonzero(part == most[group])[::-1]
    because = np.zeros(len(first), dtype=np.int64)
    because[group[largest]] = cause[largest]
    return Sums(key[first], np.bincount(group, weights=part).astype(np.float64), most, because)


def add_up(lists: NeighborLists, user: Ints, item: Ints, weight: Floats, *, k: int, excluded: Excluded) -> Proposals:
    """Propose what the neighbors of each user's recent items add up to, where that is above 0.

    Parameters
    ----------
    user, item, weight : arrays
        Recent items, by user and then in the order in which sums run; of equal contributions the first is the cause.
    """
    found = sums(lists, user, item, weight, excluded.n_items)
    if not len(found.key):
        return nothing()
    to_user, to_item = np.divmod(found.key, excluded.n_items)
    free = np.flatnonzero(~excluded.has(to_user, to_item) & (found.total > 0))
    chosen, rank = best(to_user[free], to_item[free], found.total[free], k)
    at = free[chosen]
    return Proposals(to_user[at], to_item[at], rank, found.total[at], found.because[at])
