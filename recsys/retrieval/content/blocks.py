"""Cosines of a block of items with the whole catalog, by sparse products: numpy and scipy, in Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from recsys import arrow
from recsys.arrow import whole_groups
from recsys.retrieval.kernels import Floats, Ints, best
from recsys.retrieval.neighborhoods.histories import block_of, mixed

PIECES = (
    "block int, keys binary, available binary, lengths binary, features binary, values binary, "
    "ids array<string>, brands array<string>, categories array<string>"
)
"""A piece of the catalog, which every block gets."""
LISTS = "item_id string, rank int, neighbor_id string, score double, shared_brand string, shared_category string"
_TEXTS = ("ids", "brands", "categories")
_PRODUCTS = 1 << 22
"""Products that are added up at once, which bounds the memory of a slice of items."""
_COMMON, _COMMON_SHARE = 100, 0.1
"""Words and n-grams that more items have, and more than this share of them, are left out."""


@dataclass(frozen=True)
class Scheme:
    """How features become vectors.

    Attributes
    ----------
    weights : sequence of float
        Weight of each part.
    idf, common : sequences of bool
        Of each part, whether frequent features count less, and whether very frequent ones are kept.
    blocks : int
        How many blocks there are.
    keep : int
        Similar items per item.
    """

    weights: Sequence[float]
    idf: Sequence[bool]
    common: Sequence[bool]
    blocks: int
    keep: int

    def pieces(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pack each batch of `recsys.retrieval.content.fields.featured` once for each block."""
        for batch in batches:
            if not batch.num_rows:
                continue
            packed = [
                _numbers(batch["key"], np.int64),
                _numbers(batch["available"].cast(pa.int8()), np.int8),
                *(_numbers(arrow.flat(batch[name])[1], kind) for name, kind in _NUMBERS),
            ]
            texts = [_whole(batch[name]) for name in ("item_id", "brand", "category")]
            names = [name.split(" ")[0] for name in PIECES.split(", ")]
            for block in range(self.blocks):
                row = [pa.array([block], pa.int32()), *(pa.array([part], pa.binary()) for part in packed), *texts]
                yield pa.RecordBatch.from_arrays(row, names=names)

    def lists(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Make the lists of every block of a partition that is sorted by `block`."""
        for table in whole_groups(batches, "block", rows=1):
            for number in np.unique(table["block"].to_numpy()):
                yield from self.of(table.filter(pc.equal(table["block"], number)), int(number))

    def of(self, table: pa.Table, block: int) -> Iterator[pa.RecordBatch]:
        """Make the lists of a block, slice by slice of its items."""
        keys, available = _joined(table["keys"], np.int64), _joined(table["available"], np.int8)
        lengths = _joined(table["lengths"], np.int32).reshape(len(keys), len(self.weights))
        vectors = self.vectors(lengths, _joined(table["features"], np.int32), _joined(table["values"], np.float32))
        ids, brands, categories = (table[name].combine_chunks().flatten() for name in _TEXTS)
        targets = np.flatnonzero(available)
        across = vectors[targets].T.tocsr()
        own = np.flatnonzero(block_of(keys, self.blocks) == block)
        for rows in slices(vectors[own], across):
            product = (vectors[own[rows]] @ across).tocsr()
            source = np.repeat(own[rows], np.diff(product.indptr))
            target, score = targets[product.indices], product.data
            found = np.flatnonzero((score > 0) & (source != target))
            source, target, score = source[found], target[found], score[found]
            # Of equals those that a hash of the pair picks, or else every list would hold the same ones.
            chosen, rank = best(source, mixed(keys[source], keys[target]), score, self.keep)
            source, target = source[chosen], target[chosen]
            yield pa.RecordBatch.from_arrays(
                [
                    ids.take(pa.array(source)),
                    pa.array(rank, pa.int32()),
                    ids.take(pa.array(target)),
                    pa.array(np.minimum(score[chosen], 1.0)),
                    _shared(brands, source, target),
                    _shared(categories, source, target),
                ],
                names=["item_id", "rank", "neighbor_id", "score", "shared_brand", "shared_category"],
            )

    def vectors(self, lengths: Ints, features: Ints, values: Floats) -> Any:
        """Make the vectors of all items, a sparse matrix (items x features) with rows of length 1 or 0.

        Each part has the length 1 before it is multiplied by the root of its weight, so that a cosine of two items is
        the mean of the cosines of their parts by weight. Sums run over a row in the order of its features, so neither
        the order of the items nor that of the blocks changes a figure.

        Parameters
        ----------
        lengths : int array
            Items x parts: features of each part.
        features, values : arrays
            Part after part, item after item.
        """
        n_items, n_parts = lengths.shape
        names, column = np.unique(features, return_inverse=True)
        bounds = np.r_[0, np.cumsum(lengths.ravel(), dtype=np.int64)]
        shape = (n_items * n_parts, len(names))
        raw = sparse.csr_matrix((values.astype(np.float64), column, bounds), shape=shape)
        raw.sum_duplicates()
        raw.data *= self._rarity(raw, n_items)
        raw.eliminate_zeros()
        part = np.tile(np.arange(n_parts), n_items)
        raw.data *= np.repeat(np.sqrt(np.asarray(self.weights))[part] * _inverse(_norms(raw)), np.diff(raw.indptr))
        whole = sparse.csr_matrix((raw.data, raw.indices, raw.indptr[::n_parts]), shape=(n_items, len(names)))
        whole.data *= np.repeat(_inverse(_norms(whole)), np.diff(whole.indptr))
        return whole

    def _rarity(self, raw: Any, n_items: int) -> Floats:
        """What each entry counts by its rarity: log(1 + items / holders), 1 without IDF, 0 if it is too common."""
        part = np.repeat(np.tile(np.arange(len(self.weights)), n_items), np.diff(raw.indptr))
        holders = np.bincount(raw.indices, minlength=raw.shape[1])[raw.indices]
        found = np.where(np.asarray(self.idf)[part], np.log1p(n_items / np.maximum(holders, 1)), 1.0)
        everywhere = (holders > _COMMON) & (holders > _COMMON_SHARE * n_items)
        return np.where(everywhere & ~np.asarray(self.common)[part], 0.0, found)


_NUMBERS = (("lengths", np.int32), ("features", np.int32), ("values", np.float32))


def slices(mine: Any, across: Any) -> Iterator[slice]:
    """Cut rows so that each slice takes about `_PRODUCTS` products with `across`."""
    work = np.r_[0, np.cumsum(np.diff(across.indptr)[mine.indices])][mine.indptr]
    start, n = 0, len(mine.indptr) - 1
    while start < n:
        end = int(np.searchsorted(work, work[start] + _PRODUCTS, side="right")) - 1
        end = min(max(end, start + 1), n)
        yield slice(start, end)
        start = end


def _norms(matrix: Any) -> Floats:
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.sqrt(np.bincount(row, weights=matrix.data**2, minlength=matrix.shape[0]))


def _inverse(lengths: Floats) -> Floats:
    return np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=lengths > 0)


def _shared(texts: pa.Array, source: Ints, target: Ints) -> pa.Array:
    """The texts of the sources where the targets have the same; null elsewhere."""
    mine, other = texts.take(pa.array(source)), texts.take(pa.array(target))
    return pc.if_else(pc.fill_null(pc.equal(mine, other), False), mine, pa.scalar(None, pa.string()))


def _numbers(column: pa.Array, kind: Any) -> bytes:
    return bytes(column.to_numpy(zero_copy_only=False).astype(kind).tobytes())


def _whole(column: pa.Array) -> pa.Array:
    """A column as one list."""
    return pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column.cast(pa.string()))


def _joined(column: pa.ChunkedArray, kind: Any) -> Any:
    """Put the packed numbers of a column together as one array."""
    return np.concatenate([np.zeros(0, kind), *(np.frombuffer(value, kind) for value in column.to_pylist())])
