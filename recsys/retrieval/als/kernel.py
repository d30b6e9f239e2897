"""Factors of a batch of users in, the items with the largest inner products out, and figures of any pair: numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recsys import arrow
from recsys.retrieval.kernels import Batch, Excluded, Floats, Ints, Proposals, where_in
from recsys.retrieval.vectors.affinity import affinities, centroids, dense
from recsys.retrieval.vectors.graph import Approximate, nearest
from recsys.retrieval.vectors.search import ItemMatrix


@dataclass(frozen=True)
class AlsKernel:
    """The items' factors, with a graph or without; a user's come in the column `factors`, null for users without."""

    items: ItemMatrix
    factors: str
    graph: Approximate | None = None
    work: int = 0

    def propose(self, batch: Batch, *, k: int, excluded: Excluded) -> Proposals:
        """Propose the items with the largest inner products."""
        column = batch.column(self.factors)
        known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        vectors = arrow.matrix(column.take(pa.array(known)))
        return nearest(self.items, self.graph, known, vectors, k=k, excluded=excluded)

    def score(self, batch: Batch, user: Ints, item: Ints) -> Mapping[str, Floats]:
        """Relate the item's factors to the user's, and to those of the user's recent items."""
        liked = batch.weight > 0
        row = where_in(self.items.positions, batch.item[liked])
        recent = centroids(batch.user[liked], row, self.items.vectors, batch.n_users)
        # A model without items has no width to read factors at, and relates nothing.
        column, n = batch.column(self.factors), len(self.items.positions)
        factors = dense(column, self.items.vectors.shape[1]) if n else np.full((batch.n_users, 1), np.nan)
        return affinities(factors, recent, self.items.vectors, user, where_in(self.items.positions, item))
