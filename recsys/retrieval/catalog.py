"""The items that retrievers know, by position: what one pass over users sends to the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys import arrow
from recsys.retrieval.kernels import Batch, Ints, where_in


@dataclass
class Catalog:
    """Items by position (the order of their public ids).

    Attributes
    ----------
    ids : Arrow array of str
        Public ids, ascending.
    idx : int array
        Their integers, ascending, and in `places` the position of each.
    """

    ids: pa.Array
    idx: Ints
    places: Ints

    @classmethod
    def of(cls, index: pa.Table, known: Iterable[pa.ChunkedArray]) -> Catalog:
        """Give positions to the items of an index (`item_id, idx`) that occur in one of several columns of ids."""
        chunks = [chunk for column in known for chunk in column.chunks]
        index = index.filter(pc.is_in(index["item_id"], value_set=pa.chunked_array(chunks, pa.string())))
        index = index.sort_by("item_id")
        ids = index["item_id"].combine_chunks() if index.num_rows else pa.array([], pa.string())
        idx = np.asarray(index["idx"].to_numpy(), dtype=np.int64)
        places = np.argsort(idx)
        return cls(ids, idx[places], places)

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    def positions(self, idx: Ints) -> Ints:
        """Position of each `idx`; -1 for items that no retriever knows."""
        if not len(self.idx):
            return np.full(len(idx), -1, dtype=np.int64)
        at = where_in(self.idx, idx)
        return np.where(at >= 0, self.places[at], -1)

    def batch(self, rows: pa.RecordBatch) -> Batch:
        """Make a batch of packed rows; see `recsys.retrieval.audience.packed`."""
        lengths, idx = arrow.flat(rows["idx"])
        weight = arrow.flat(rows["weight"])[1].to_numpy(zero_copy_only=False)
        user = np.repeat(np.arange(rows.num_rows), lengths)
        return Batch(rows, user, self.positions(idx.to_numpy(zero_copy_only=False)), weight)

    def find(self, column: pa.ChunkedArray | pa.Array) -> Ints:
        """Position of each public id; -1 where the index lacks it."""
        found = pc.fill_null(pc.index_in(column, value_set=self.ids), -1)
        return np.asarray(found.to_numpy(), dtype=np.int64)
