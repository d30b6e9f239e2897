"""How retrievers with vectors search them: settings, what `auto` chooses, and what a graph finds of the exact lists."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.errors import ConfigError, EnvironmentProblem
from recsys.progress import note, step
from recsys.retrieval.base import Retriever
from recsys.retrieval.vectors import graph
from recsys.retrieval.vectors.graph import Graph
from recsys.retrieval.vectors.search import ItemMatrix
from recsys.settings import PositiveInt

SAMPLE = 200
"""Users on whom recall is measured."""
LISTED = 100
"""Items of a list on which it is measured: not `k`, which a fit does not depend on."""
_ENOUGH = 0.97
"""Recall below which a note says what to change."""


class VectorRetriever(Retriever, ABC):
    """A retriever whose lists are the items with the largest inner products with a vector of the user."""

    search: Literal["auto", "exact", "hnsw"] = Field(
        "auto",
        description="How the best items are found: exact looks at all; hnsw follows a graph of near items (needs "
        "faiss), and misses a few; auto is hnsw from hnsw_from_items on, if faiss is there",
    )
    hnsw_from_items: PositiveInt = Field(1_000_000, description="Items from which on auto is hnsw")
    hnsw_width: PositiveInt = Field(
        400, description="Items that a search by hnsw keeps in view: more find more, and cost more"
    )

    def by_graph(self, n_items: int, width: int, limit_mb: float) -> bool:
        """Decide how `n_items` vectors of `width` numbers are searched.

        Parameters
        ----------
        limit_mb : float
            Largest thing that is broadcast: a graph is made on the driver, and only below it.

        Raises
        ------
        EnvironmentProblem
            If `search` is hnsw and faiss is not installed.
        ConfigError
            If `search` is hnsw and the graph is above the limit.
        """
        if self.search == "exact" or (self.search == "auto" and n_items < self.hnsw_from_items):
            return False
        size, key = graph.graph_bytes(n_items, width) / arrow.MEGABYTE, f"retrievers.{self.name}.search"
        if not graph.available():
            found = f"{self.name}: {n_items:,} items can be searched by hnsw if faiss is installed"
            if self.search == "hnsw":
                raise EnvironmentProblem(f"{found}; install recsys[ann], or set {key} to auto")
            note(f"{found} (recsys[ann]); all of them are looked at instead")
            return False
        if size > limit_mb:
            found = f"{self.name}: the graph of {n_items:,} items takes {size:.0f} MB, above spark.broadcast_limit_mb"
            if self.search == "hnsw":
                raise ConfigError(f"{found}; raise it, or set {key} to auto")
            note(f"{found}: all of them are looked at instead")
            return False
        return n_items > 0

    def graph_of(self, items: ItemMatrix, limit_mb: float) -> Graph | None:
        """Link the items, if they are to be searched so."""
        if not self.by_graph(len(items.positions), items.vectors.shape[1], limit_mb):
            return None
        with step(f"link {len(items.positions):,} items of {self.name}"):
            return Graph.of(items, width=self.hnsw_width)

    def recall(
        self, items: DataFrame, users: DataFrame, *, n_items: int, width: int, limit_mb: float
    ) -> Mapping[str, float]:
        """Measure what a graph finds of the 100 best of 200 users, chosen by a hash; empty where none would be used.

        Parameters
        ----------
        items : DataFrame
            `item_id, factors`.
        users : DataFrame
            `user_id, factors`.
        n_items, width : int
            Size of the factors.
        """
        if not self.by_graph(n_items, width, limit_mb):
            return {}
        some = arrow.collect_arrow(sampled(users).select("factors"))
        every = arrow.collect_arrow(items.select("item_id", "factors")).sort_by("item_id")
        if not (some.num_rows and every.num_rows):
            return {}
        matrix = ItemMatrix(np.arange(every.num_rows, dtype=np.int64), arrow.matrix(every["factors"]))
        linked = self.graph_of(matrix, limit_mb)
        if linked is None:
            return {}
        found = round(graph.recall(matrix, linked, arrow.matrix(some["factors"]), k=LISTED), 4)
        few = "" if found >= _ENOUGH else f"; raise retrievers.{self.name}.hnsw_width, or set its search to exact"
        note(f"{self.name}: hnsw finds {found:.1%} of the {LISTED} best of {some.num_rows} users{few}")
        return {"hnsw_recall": found}


def sampled(users: DataFrame) -> DataFrame:
    """Take the users by a hash of their ids."""
    return users.orderBy(F.xxhash64("user_id"), "user_id").limit(SAMPLE)
