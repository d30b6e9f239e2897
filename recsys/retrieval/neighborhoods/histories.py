"""Capped histories, sent to every block of items that they touch: Spark around two numpy kernels.

A block is a part of the items, cut by a hash. It gets the capped history of everybody who touched one of its items, so
it counts the pairs of its items completely, and no partial sum of a pair ever travels: per user, at most
(blocks touched) x (items kept) integers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.retrieval.kernels import Ints, ranks_within
from recsys.retrieval.neighborhoods.similarity import UNIT, Formula

SCHEMA = (
    "block int, users bigint, lengths binary, parts binary, items binary, marks binary, counts binary, "
    "names array<string>"
)
"""A piece of a block: capped histories one after the other, or a part of the item index with its counts."""

ARROW = pa.schema(
    [
        ("block", pa.int32()),
        ("users", pa.int64()),
        ("lengths", pa.binary()),
        ("parts", pa.binary()),
        ("items", pa.binary()),
        ("marks", pa.binary()),
        ("counts", pa.binary()),
        ("names", pa.list_(pa.string())),
    ]
)
_ROWS = 50_000
"""Interactions in one piece: 10,000 pieces, which is what Spark puts into one Arrow batch, stay below 2 GiB."""
MARK = 1 << 12
"""Marks of decayed interactions are integers of this fraction; products of two are of 1 / `UNIT`."""
assert MARK * MARK == UNIT
_DAY = 86_400e6

Kernel = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Cut:
    """How histories are capped and cut into blocks.

    Attributes
    ----------
    most : int
        Items kept per user, the most recent ones, ties by a hash of user and item.
    formula : Formula
        Says how much each user counts.
    half_life_days : float, optional
        Days after which an interaction counts half in every pair.
    as_of : int
        The instant from which ages count, in microseconds.
    n_items, blocks : int
        Size of the item index, and how many blocks it is cut into.
    """

    most: int
    formula: Formula
    half_life_days: float | None
    as_of: int
    n_items: int = 0
    blocks: int = 1

    def pieces(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Cap the histories of a partition that holds whole users: `u` (a hash of the user), `idx, at`."""
        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        table = pa.Table.from_batches(held)
        u, item, at = (table[name].to_numpy().astype(np.int64) for name in ("u", "idx", "at"))
        order = np.argsort(u, kind="stable")
        u, item, at = u[order], item[order], at[order]
        for span in whole_users(u, _ROWS):
            yield from self._cut(u[span], item[span], at[span])

    def _cut(self, u: Ints, item: Ints, at: Ints) -> Iterator[pa.RecordBatch]:
        user = np.cumsum(np.r_[0, u[1:] != u[:-1]])
        sizes = np.bincount(user).astype(np.int64)
        kept = latest(u, user, item, at, sizes, self.most)
        user, item, at = user[kept], item[kept], at[kept]
        parts, marks = self.formula.parts(sizes, self.n_items), None
        if self.half_life_days is not None:
            marks = self._marks(parts[user], at, self.half_life_days)
            left = np.flatnonzero(marks)
            user, item, marks = user[left], item[left], marks[left]
        lengths = np.bincount(user, minlength=len(sizes)).astype(np.int64)
        offsets = np.r_[0, np.cumsum(lengths)]
        touched = np.zeros((self.blocks, len(sizes)), dtype=np.bool_)
        touched[block_of(item, self.blocks), user] = True
        touched[:, (lengths < 2) | (parts == 0)] = False
        for block in range(self.blocks):
            who = np.flatnonzero(touched[block])
            entries = _spans(offsets[who], lengths[who])
            yield piece(
                block,
                # Everybody counts in a block's population, whether or not they touched its items.
                users=len(sizes),
                lengths=lengths[who],
                parts=parts[who],
                items=item[entries],
                marks=None if marks is None else marks[entries],
            )

    def _marks(self, part: Ints, at: Ints, half_life_days: float) -> Ints:
        """What each interaction brings to its pairs: the root of the user's part, halved with age."""
        age = np.maximum(self.as_of - at, 0) / _DAY
        decayed = np.sqrt(part / UNIT) * 0.5 ** (age / half_life_days)
        return np.asarray(np.rint(decayed * MARK), np.int64)


@dataclass(frozen=True)
class Counted:
    """Sends the item index with its counts to every block: `idx, n, item_id`."""

    blocks: int

    def pieces(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack each batch once for each block."""
        for batch in batches:
            if not batch.num_rows:
                continue
            items, counts = (batch[name].to_numpy().astype(np.int64) for name in ("idx", "n"))
            for block in range(self.blocks):
                yield piece(block, items=items, counts=counts, names=batch["item_id"])


def piece(
    block: int,
    *,
    items: Ints,
    users: int = 0,
    lengths: Ints | None = None,
    parts: Ints | None = None,
    marks: Ints | None = None,
    counts: Ints | None = None,
    names: pa.Array | None = None,
) -> pa.RecordBatch:
    """Make one row of `SCHEMA`; integers are packed as 32 bits each."""
    columns = (lengths, parts, items, marks, counts)
    row = [block, users, *(None if part is None else part.astype(np.int32).tobytes() for part in columns)]
    arrays = [pa.array([value], field.type) for value, field in zip(row, ARROW, strict=False)]
    listed = pa.ListArray.from_arrays([0, 0 if names is None else len(names)], pa.array([]) if names is None else names)
    return pa.RecordBatch.from_arrays([*arrays, listed.cast(ARROW.field("names").type)], schema=ARROW)


def whole_users(u: Ints, rows: int) -> Iterator[slice]:
    """Cut rows that are sorted by user into spans of about `rows` rows that hold whole users."""
    starts = np.flatnonzero(np.r_[True, u[1:] != u[:-1]])
    cuts = np.unique(starts[np.minimum(np.searchsorted(starts, np.arange(0, len(u), rows)), len(starts) - 1)])
    for start, end in zip(cuts, np.r_[cuts[1:], len(u)], strict=True):
        yield slice(int(start), int(end))


def latest(key: Ints, user: Ints, item: Ints, at: Ints, sizes: Ints, most: int) -> Ints:
    """Rows of the `most` latest items of each user, ascending.

    Where many items have one time, the hash decides: order by id would keep the same items of everybody.

    Parameters
    ----------
    key, user, item, at : int arrays
        A hash of the user, the user's number (ascending), the item and the time of each row.
    sizes : int array
        Rows of each user.
    """
    long = np.flatnonzero(sizes[user] > most)
    if not len(long):
        return np.arange(len(user))
    order = long[np.lexsort((mixed(key[long], item[long]), -at[long], user[long]))]
    keep = np.ones(len(user), dtype=np.bool_)
    keep[order[ranks_within(user[order]) > most]] = False
    return np.flatnonzero(keep)


def mixed(first: Ints, second: Ints) -> Ints:
    """Hash pairs of integers to 63 bits: the finalizer of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    bits = first.astype(np.uint64) + second.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((bits ^ (bits >> np.uint64(31))) >> np.uint64(1), np.int64)


def block_of(item: Ints, blocks: int) -> Ints:
    """The block that an item belongs to."""
    return mixed(np.zeros_like(item), item) % blocks


def _spans(starts: Ints, lengths: Ints) -> Ints:
    """Numbers of the entries that lie in spans, one span after the other."""
    before = np.cumsum(lengths) - lengths
    return np.asarray(np.repeat(starts - before, lengths) + np.arange(int(lengths.sum())), np.int64)
