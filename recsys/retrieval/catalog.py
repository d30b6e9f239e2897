"""Everything that retrieval knows of items, as arrays by position: what the candidates' one pass broadcasts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval import blobs, kernels
from recsys.retrieval.popular import OVERALL

if TYPE_CHECKING:
    from recsys.retrieval.candidates import Sources

_ID_BYTES = 40
_NEIGHBOR_BYTES = 12
_LISTED_BYTES = 32


@dataclass
class Catalog:
    """Items by position (the order of their public ids).

    Attributes
    ----------
    ids : Arrow array of str
        Public ids, ascending.
    idx : int array
        Their integers, ascending, and in `places` the position of each.
    items : ItemMatrix
        Factors of those that have some.
    neighbors : NeighborLists
    segments : Arrow array of str
        Names of the segments that have a list.
    lists : list of (positions, scores)
        Popular items of each segment followed by everybody's; the last list is everybody's alone.
    """

    ids: pa.Array
    idx: kernels.Ints
    places: kernels.Ints
    items: kernels.ItemMatrix
    neighbors: kernels.NeighborLists
    segments: pa.Array
    lists: list[tuple[kernels.Ints, kernels.Floats]]

    @property
    def widest(self) -> int:
        """Length of the longest neighbour list."""
        return int(np.diff(self.neighbors.offsets).max(initial=0))

    def positions(self, idx: kernels.Ints) -> kernels.Ints:
        """Position of each `idx`; -1 for items that no retriever proposes."""
        if not len(self.idx):
            return np.full(len(idx), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.idx, idx), len(self.idx) - 1)
        return np.where(self.idx[at] == idx, self.places[at], -1)

    def list_of(self, segment: pa.Array) -> kernels.Ints:
        """Which list each segment takes."""
        code = pc.fill_null(pc.index_in(segment, value_set=self.segments), len(self.lists) - 1)
        return np.asarray(code.to_numpy(zero_copy_only=False), dtype=np.int64)


def size_in_bytes(sources: Sources) -> float:
    """Estimate what `load_catalog` would hold; one pass over the sources."""
    costs = [
        sources.item_index.select(F.lit(_ID_BYTES).alias("bytes")),
        sources.neighbors.select(F.lit(_NEIGHBOR_BYTES).alias("bytes")),
        sources.popular.select(F.lit(_LISTED_BYTES).alias("bytes")),
    ]
    if sources.item_factors is not None:
        costs.append(sources.item_factors.select((4 * F.size("factors")).alias("bytes")))
    return float(reduce(DataFrame.unionByName, costs).agg(F.sum("bytes")).collect()[0][0] or 0)


def load_catalog(sources: Sources) -> Catalog:
    """Bring the sources to the driver as arrays. Only below the broadcast limit."""
    neighbors = blobs.collect_arrow(sources.neighbors.select("item_id", "neighbor_id", "score"))
    popular = blobs.collect_arrow(sources.popular.select("segment", "rank", "item_id", "score"))
    factors = sources.item_factors
    vectors = None if factors is None else blobs.collect_arrow(factors.select("item_id", "factors"))
    index = blobs.collect_arrow(sources.item_index.select("item_id", "idx"))
    proposed = [*neighbors["item_id"].chunks, *neighbors["neighbor_id"].chunks, *popular["item_id"].chunks]
    proposed += [] if vectors is None else vectors["item_id"].chunks
    known = pc.is_in(index["item_id"], value_set=pa.chunked_array(proposed, pa.string()))
    index = index.filter(known).sort_by("item_id")
    names = index["item_id"].combine_chunks() if index.num_rows else pa.array([], pa.string())
    idx = np.asarray(index["idx"].to_numpy(), dtype=np.int64)
    places = np.argsort(idx)
    segments, lists = _popular(popular, names)
    return Catalog(
        ids=names,
        idx=idx[places],
        places=places,
        items=_factors(vectors, names),
        neighbors=_neighbors(neighbors, names),
        segments=segments,
        lists=lists,
    )


def _places(column: pa.ChunkedArray, names: pa.Array) -> kernels.Ints:
    """Position of each id; -1 where the index lacks it."""
    found = pc.fill_null(pc.index_in(column, value_set=names), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def _factors(table: pa.Table | None, names: pa.Array) -> kernels.ItemMatrix:
    if table is None or not table.num_rows:
        return kernels.ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
    place = _places(table["item_id"], names)
    order = np.argsort(place)
    order = order[place[order] >= 0]
    return kernels.ItemMatrix(place[order], np.ascontiguousarray(blobs.matrix(table["factors"])[order]))


def _neighbors(table: pa.Table, names: pa.Array) -> kernels.NeighborLists:
    source, target = _places(table["item_id"], names), _places(table["neighbor_id"], names)
    known = np.flatnonzero((source >= 0) & (target >= 0))
    order = known[np.lexsort((target[known], source[known]))]
    offsets = np.r_[0, np.cumsum(np.bincount(source[order], minlength=len(names)))].astype(np.int64)
    score = table["score"].to_numpy().astype(np.float64)
    return kernels.NeighborLists(offsets, target[order].astype(np.int32), score[order])


def _popular(table: pa.Table, names: pa.Array) -> tuple[pa.Array, list[tuple[kernels.Ints, kernels.Floats]]]:
    place = _places(table["item_id"], names)
    score, rank = table["score"].to_numpy().astype(np.float64), table["rank"].to_numpy().astype(np.int64)
    segment = table["segment"].to_numpy().astype(str)
    order = np.lexsort((rank, segment))
    order = order[place[order] >= 0]
    # '' sorts first, so everybody's list is the first group where there is one.
    found = {str(name): order[segment[order] == name] for name in np.unique(segment)}
    everybody = found.pop(OVERALL, np.zeros(0, np.int64))
    lists = []
    for own in found.values():
        more = everybody[~np.isin(place[everybody], place[own])]
        both = np.r_[own, more]
        lists.append((place[both], score[both]))
    lists.append((place[everybody], score[everybody]))
    return pa.array(list(found), pa.string()), lists
