"""Exact top-k by inner product for a batch of users, and figures of any pair: faiss and numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import arrow
from recsys.retrieval.als.affinity import affinities, centroids, dense
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, best, joined, nothing, where_in

Vectors = NDArray[np.float32]

_MARGIN = 8
"""Items fetched beyond what is needed, so that ties at the cut are nearly always seen whole."""
_CHUNK = 1 << 22
"""Numbers held at once where a step needs a dense block."""


@dataclass
class ItemMatrix:
    """Item factors, shape (n, rank), float32, with the position of each row (ascending)."""

    positions: Ints
    vectors: Vectors

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


@dataclass(frozen=True)
class AlsKernel:
    """The items' factors; a user's come in the column `factors`, null for users without."""

    items: ItemMatrix
    factors: str
    work: int = 0

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the items with the largest inner products."""
        column = batch.column(self.factors)
        known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        vectors = arrow.matrix(column.take(pa.array(known)))
        return search(self.items, known, vectors, k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Relate the item's factors to the user's, and to those of the user's recent items."""
        liked = batch.weight > 0
        row = where_in(self.items.positions, batch.item[liked])
        recent = centroids(batch.user[liked], row, self.items.vectors, batch.n_users)
        # A model without items has no width to read factors at, and relates nothing.
        column, n = batch.column(self.factors), len(self.items.positions)
        factors = dense(column, self.items.vectors.shape[1]) if n else np.full((batch.n_users, 1), np.nan)
        return affinities(factors, recent, self.items.vectors, user, where_in(self.items.positions, item))


def search(items: ItemMatrix, users: Ints, vectors: Vectors, *, k: int, excluded: Excluded) -> Proposals:
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
        return nothing()
    wanted = np.minimum(k + excluded.counts[users] + _MARGIN, n)
    # Powers of two: a batch takes a few searches, and only users with many exclusions fetch much.
    fetch = np.minimum(1 << np.ceil(np.log2(wanted)).astype(np.int64), n)
    parts = []
    for size in np.unique(fetch):
        rows = np.flatnonzero(fetch == size)
        for chunk in np.array_split(rows, -(-len(rows) * int(size) * vectors.shape[1] // _CHUNK)):
            parts.append(_search_equal(items, users[chunk], vectors[chunk], int(size), k, excluded))
    return Proposals.of(parts)


def _search_equal(
    items: ItemMatrix, users: Ints, vectors: Vectors, size: int, k: int, excluded: Excluded
) -> tuple[Ints, Ints, Floats]:
    """Search for users who all need the same number of items."""
    n = len(items.positions)
    sure = np.ones(len(users), dtype=np.bool_)
    found = []
    if 2 * size >= n:
        sure[:] = False
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
        found = [(np.repeat(users[sure], score.shape[1]), item[sure].ravel(), score[sure].ravel())]
    return joined(
        [*found, *(_search_all(items, int(users[i]), vectors[i], k, excluded) for i in np.flatnonzero(~sure))]
    )


def _search_all(items: ItemMatrix, user: int, vector: Vectors, k: int, excluded: Excluded) -> tuple[Ints, Ints, Floats]:
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
