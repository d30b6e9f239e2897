"""Items that are searched together, and what a worker does with them: Arrow in, Arrow out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import arrow
from recsys.retrieval.kernels import Excluded, Ints
from recsys.retrieval.vectors.graph import Approximate, nearest
from recsys.retrieval.vectors.search import ItemMatrix

SCHEMA = "user_id string, item_id string, rank int, score double"
_BATCH = 1024
"""Users that one kernel call works on."""


@dataclass
class Block:
    """Items that are searched together: their ids in order, where each `idx` stands, factors, and a graph or none."""

    ids: pa.Array
    places: NDArray[np.int32]
    items: ItemMatrix
    graph: Approximate | None = None

    @classmethod
    def of(cls, table: pa.Table) -> Block:
        """Make a block of rows `idx, item_id, factors`."""
        if not table.num_rows:
            nothing = ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
            return cls(pa.array([], pa.string()), np.full(1, -1, np.int32), nothing)
        table = table.sort_by("item_id")
        idx = table["idx"].to_numpy()
        places = np.full(int(idx.max()) + 1, -1, dtype=np.int32)
        places[idx] = np.arange(len(idx))
        matrix = ItemMatrix(np.arange(len(idx), dtype=np.int64), arrow.matrix(table["factors"]))
        return cls(table["item_id"].combine_chunks(), places, matrix)

    def positions(self, idx: NDArray[np.int64]) -> Ints:
        """Position of each `idx`; -1 for items of other blocks."""
        known = (idx >= 0) & (idx < len(self.places))
        return np.where(known, self.places[np.where(known, idx, 0)], -1).astype(np.int64)

    def recommend(self, batch: pa.RecordBatch, k: int) -> Iterator[pa.RecordBatch]:
        """Search for the users of a batch `user_id, factors, excluded`."""
        for start in range(0, batch.num_rows, _BATCH):
            yield self._recommend(batch.slice(start, _BATCH), k)

    def _recommend(self, batch: pa.RecordBatch, k: int) -> pa.RecordBatch:
        lengths, values = arrow.flat(batch["excluded"])
        user = np.repeat(np.arange(batch.num_rows), lengths)
        item = self.positions(values.to_numpy(zero_copy_only=False).astype(np.int64))
        excluded = Excluded(user, item, batch.num_rows, max(1, len(self.ids)))
        every, vectors = np.arange(batch.num_rows), arrow.matrix(batch["factors"])
        found = nearest(self.items, self.graph, every, vectors, k=k, excluded=excluded)
        return pa.RecordBatch.from_arrays(
            [
                batch["user_id"].take(pa.array(found.user)),
                self.ids.take(pa.array(found.item)),
                pa.array(found.rank, pa.int32()),
                pa.array(found.score),
            ],
            names=["user_id", "item_id", "rank", "score"],
        )
