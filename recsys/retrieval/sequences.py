"""Touches put in order: the numpy part, which runs in Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys.retrieval.kernels import Ints
from recsys.retrieval.neighborhoods.histories import mixed, whole_users


@dataclass(frozen=True)
class Sequences:
    """What users touched, oldest first; an item that is touched several times in a row counts once.

    Attributes
    ----------
    u : int array
        Hash of each sequence's owner.
    owner : int array
        Number of the sequence that each touch belongs to, ascending.
    item : int array
        Number of the item.
    start, end : int arrays
        When the run of touches of this item began and ended, in microseconds.
    sizes : int array
        Touches of each sequence, those that were cut off included.
    """

    u: Ints
    owner: Ints
    item: Ints
    start: Ints
    end: Ints
    sizes: Ints

    @classmethod
    def of(cls, u: Ints, item: Ints, at: Ints, step: Ints, most: int) -> Sequences:
        """Put whole sequences in order and keep the `most` latest touches of each.

        The order is that of time, then of the step within a session, then of a hash of owner and item: an order by id
        would put the same item first for everybody.
        """
        order = np.lexsort((mixed(u, item), step, at, u))
        u, item, at = u[order], item[order], at[order]
        begins = np.r_[True, (u[1:] != u[:-1]) | (item[1:] != item[:-1])]
        first = np.flatnonzero(begins)
        last = np.r_[first[1:], len(u)] - 1
        mine = u[first]
        owners = np.flatnonzero(np.r_[True, mine[1:] != mine[:-1]])
        sizes = np.diff(np.r_[owners, len(mine)])
        owner = np.repeat(np.arange(len(owners)), sizes)
        kept = np.flatnonzero(np.arange(len(mine)) >= (owners + sizes - most)[owner])
        first, last = first[kept], last[kept]
        return cls(mine[owners], owner[kept], item[first], at[first], at[last], sizes)


def sequences(batches: Iterable[pa.RecordBatch], *, most: int, rows: int) -> Iterator[Sequences]:
    """Put a partition in order that holds whole sequences, about `rows` touches at a time: `u, idx, at, step`."""
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    table = pa.Table.from_batches(held)
    u, item, at, step = (table[name].to_numpy().astype(np.int64) for name in ("u", "idx", "at", "step"))
    order = np.argsort(u, kind="stable")
    u, item, at, step = u[order], item[order], at[order], step[order]
    for span in whole_users(u, rows):
        yield Sequences.of(u[span], item[span], at[span], step[span], most)
