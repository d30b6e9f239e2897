"""What the kernels of all retrievers share: a batch of users in, proposals or scores of pairs out, in numpy.

No Spark, no state, one thread. Items are positions in an array that is sorted by public id, so that ordering by
position is ordering by id. A kernel sums over a user's own values in a fixed order and takes products in float64, so
that a result depends neither on the other users of its batch nor on how items are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Listed = tuple[Ints, Floats]
"""Positions of items in order, none twice, and their scores."""

_BITS = 1 << 25
"""Largest bitmap of user-item pairs."""
_ENTRIES = 1 << 16
"""Entries that one kernel call adds up, which sets how many users it works on: what stays in a core's cache takes two
thirds of the time that sixteen times as many take."""


@dataclass(frozen=True)
class Proposals:
    """What one retriever proposes to a batch: one entry per user and item, by user and rank.

    Attributes
    ----------
    user, item : int arrays
        Row of the batch, position of the item.
    rank : int array
        From 1, dense for each user.
    score : float array
        On the retriever's own scale.
    because : int array or None
        Position of the item that led there.
    """

    user: Ints
    item: Ints
    rank: Ints
    score: Floats
    because: Ints | None = None

    @classmethod
    def of(cls, parts: Iterable[tuple[Ints, Ints, Floats]]) -> Proposals:
        """Put parts (user, item, score) together and rank them: by score, ties by item."""
        user, item, score = joined(parts)
        order = np.lexsort((item, -score, user))
        user, item, score = user[order], item[order], score[order]
        return cls(user, item, ranks_within(user), score)

    def of_users(self, wanted: NDArray[np.bool_]) -> Proposals:
        """Return the proposals to some users: one truth value per row of the batch."""
        kept = wanted[self.user]
        because = None if self.because is None else self.because[kept]
        return Proposals(self.user[kept], self.item[kept], self.rank[kept], self.score[kept], because)


class Excluded:
    """Pairs of user row (ascending) and item position that must not be proposed."""

    def __init__(self, user: Ints, item: Ints, n_users: int, n_items: int) -> None:
        self.n_users, self.n_items = n_users, n_items
        known = item >= 0
        self._keys = user[known] * n_items + item[known]
        self.counts: Ints = np.bincount(user[known], minlength=n_users).astype(np.int64)

    def among(self, users: Ints) -> tuple[Ints, Ints]:
        """Return the pairs of some users: places in `users` (distinct rows), and positions of items."""
        lengths, ends = self.counts[users], np.cumsum(self.counts)
        place = np.repeat(np.arange(len(users)), lengths)
        first = ends[users] - lengths - (np.cumsum(lengths) - lengths)
        keys = self._keys[np.repeat(first, lengths) + np.arange(len(place))]
        return place, keys - users[place] * self.n_items

    @cached_property
    def _bits(self) -> NDArray[np.bool_] | None:
        """A dense bitmap while it is small; it answers several times faster than a search."""
        if self.n_users * self.n_items > _BITS:
            self._keys.sort()
            return None
        bits = np.zeros(self.n_users * self.n_items, dtype=np.bool_)
        bits[self._keys] = True
        return bits

    def has(self, user: Ints, item: Ints) -> NDArray[np.bool_]:
        """Say for each pair (arrays that broadcast together) whether it is excluded."""
        keys = user * self.n_items + item
        if self._bits is not None:
            return np.asarray(self._bits[keys])
        if not len(self._keys):
            return np.zeros(keys.shape, dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.asarray(self._keys[at] == keys)


@dataclass(frozen=True)
class Batch:
    """Some users, with their past.

    Attributes
    ----------
    rows : RecordBatch
        `user_id`, `segment`, and the columns that a model joined on; one row per user.
    user, item, weight : arrays
        The past: row of the user, position of the item (-1 for one that no retriever proposes) and weight (0 where the
        item is only seen), by user, in the order of `recsys.retrieval.frames.latest_first`.
    """

    rows: pa.RecordBatch
    user: Ints
    item: Ints
    weight: Floats

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.rows.num_rows)

    def column(self, name: str) -> pa.Array:
        """A column of the rows; a model's own are called `<retriever>:<column>`."""
        return self.rows.column(name)


class Kernel(Protocol):
    """What proposes items to a batch of users in a Python worker; it pickles, and knows items by position."""

    @property
    def work(self) -> int:
        """Entries that it adds up for one user, at most: they decide how many users make a batch."""
        ...

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose at most `k` items to each user."""
        ...


@runtime_checkable
class PairKernel(Kernel, Protocol):
    """The kernel of a retriever that has pair features: it also scores any item for any user, proposed or not."""

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Compute the pair features.

        Parameters
        ----------
        user, item : int arrays
            Pairs in any order, also several times: row of the batch, and position of the item (-1 for one that no
            retriever knows).

        Returns
        -------
        mapping
            By the `what` of each pair feature, one value per pair, NaN for null. The value of a pair depends neither
            on the other pairs nor on the other users; `score` of a pair that `propose` returns is the same number.
        """
        ...


def users_at_once(kernels: Iterable[Kernel]) -> int:
    """How many users a call of these kernels works on."""
    work = max((kernel.work for kernel in kernels), default=0)
    return int(np.clip(_ENTRIES // (work + 1), 32, 1024))


def where_in(ascending: Ints, wanted: Ints) -> Ints:
    """Where each wanted number stands among ascending ones; -1 where it is not among them."""
    if not len(ascending):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[at] == wanted, at, -1)


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
    kept = near_best(user, score, k)
    order = kept[np.lexsort((item[kept], -score[kept], user[kept]))]
    rank = ranks_within(user[order])
    return order[rank <= k], rank[rank <= k]


def near_best(user: Ints, score: Floats, k: int) -> Ints:
    """Places of what may be among the `k` best of each user, whatever decides between equals: often few more than k.

    Parameters
    ----------
    user : int array
        Ascending.
    """
    bounds = np.flatnonzero(np.r_[True, user[1:] != user[:-1], True]) if len(user) else np.zeros(1, np.int64)
    keep = np.ones(len(user), dtype=np.bool_)
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        if end - start > 2 * k:
            mine = score[start:end]
            keep[start:end] = mine >= np.partition(mine, end - start - k)[end - start - k]
    return np.flatnonzero(keep)


def ranks_within(user: Ints) -> Ints:
    """Number the entries of each user from 1; entries of a user stand together."""
    if not len(user):
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]])
    lengths = np.diff(np.r_[starts, len(user)])
    return np.arange(len(user)) - np.repeat(starts, lengths) + 1


def joined(parts: Iterable[tuple[Ints, Ints, Floats]]) -> tuple[Ints, Ints, Floats]:
    """Concatenate parts of (user, item, score)."""
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float64))
    user, item, score = (np.concatenate(arrays) for arrays in zip(nothing, *parts, strict=True))
    return user, item, score


def nothing() -> Proposals:
    """No proposals."""
    return Proposals.of(())


def take_listed(lists: list[Listed], which: Ints, *, k: int, excluded: Excluded) -> Proposals:
    """Give each user the first `k` items of a ready list that are not excluded.

    Parameters
    ----------
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
        return nothing()
    user, item, rank, score = (np.concatenate([part[i] for part in parts]) for i in range(4))
    order = np.lexsort((rank, user))
    return Proposals(user[order], item[order], rank[order], score[order])
