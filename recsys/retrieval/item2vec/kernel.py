"""Tastes of users from the vectors of their latest items, and the items nearest to them: numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import arrow
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, where_in
from recsys.retrieval.vectors.affinity import Matrix, centroids
from recsys.retrieval.vectors.graph import Approximate, nearest
from recsys.retrieval.vectors.search import ItemMatrix, Vectors, products


@dataclass(frozen=True)
class VectorKernel:
    """Vectors of items, and which of the items may be proposed.

    Attributes
    ----------
    items : ItemMatrix
        All that lead to a taste, of length 1.
    listed : ItemMatrix
        Those of them that may be proposed.
    recent_items : int
        Latest items with a vector that a taste is made of.
    decay : float
        How much an item counts for each one that was touched later.
    graph : Approximate or None
        Of those that may be proposed.
    """

    items: ItemMatrix
    listed: ItemMatrix
    recent_items: int
    decay: float
    graph: Approximate | None = None
    work: int = 0

    @classmethod
    def of(cls, catalog: Catalog, table: pa.Table, *, recent_items: int, decay: float) -> VectorKernel:
        """Put vectors in the order of their positions: `item_id, idx, vector`, `idx` null for what isn't proposed."""
        place = catalog.find(table["item_id"])
        order = np.argsort(place, kind="stable")
        order = order[place[order] >= 0]
        if not len(order):
            nothing = ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
            return cls(nothing, nothing, recent_items, decay)
        items = ItemMatrix(place[order], np.ascontiguousarray(arrow.matrix(table["vector"])[order]))
        free = table["idx"].is_valid().to_numpy()[order]
        listed = items if free.all() else ItemMatrix(items.positions[free], items.vectors[free])
        return cls(items, listed, recent_items, decay)

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the items with the largest cosines."""
        known, tastes = self._tastes(batch)
        return nearest(self.listed, self.graph, known, tastes, k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Compute the cosine of user and item: null where either has no vector."""
        known, tastes = self._tastes(batch)
        place, row = where_in(known, user), where_in(self.items.positions, item)
        found, both = np.full(len(user), np.nan), np.flatnonzero((place >= 0) & (row >= 0))
        found[both] = products(self.items.vectors, tastes, row[both], place[both])
        return {"score": found}

    def _tastes(self, batch: Batch) -> tuple[Ints, Vectors]:
        """Rows of the users who have a taste, and the tastes."""
        liked = batch.weight > 0
        row = where_in(self.items.positions, batch.item[liked])
        user, vectors = batch.user[liked], self.items.vectors
        total = centroids(user, row, vectors, batch.n_users, most=self.recent_items, decay=self.decay)
        return unit(total)


def unit(rows: Matrix) -> tuple[Ints, Vectors]:
    """Bring vectors to the length 1: the rows that have a length, and what comes of them."""
    lengths = np.sqrt((rows**2).sum(axis=1))
    known = np.flatnonzero(lengths > 0)
    return known, (rows[known] / lengths[known, None]).astype(np.float32)
