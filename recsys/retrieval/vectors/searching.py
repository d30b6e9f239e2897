"""How retrievers with vectors search them: settings, what `auto` chooses, and what is found of the exact lists."""

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
from recsys.retrieval.vectors.cells import Cells, Codes, cells_bytes
from recsys.retrieval.vectors.graph import Approximate, Graph, graph_bytes
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

    search: Literal["auto", "exact", "ivf", "hnsw"] = Field(
        "auto",
        description="How the best items are found: exact looks at all; ivf at those in the nearest cells, hnsw follows "
        "a graph of near items (both need faiss), and they miss a few; auto is ivf from hnsw_from_items on, if faiss "
        "is there",
    )
    hnsw_from_items: PositiveInt = Field(1_000_000, description="Items from which on auto is ivf")
    hnsw_width: PositiveInt = Field(
        400, description="Items that a search by hnsw keeps in view: more find more, and cost more"
    )
    ivf_probes: PositiveInt | None = Field(
        None, description="Cells that a search by ivf looks into: more find more, and cost more; null: 9 % of them"
    )
    ivf_codes: Codes = Field(
        "fp16", description="How ivf keeps the factors: float32, fp16 or int8, which find less and take less memory"
    )

    def approximate(self, n_items: int, width: int, limit_mb: float) -> Literal["ivf", "hnsw"] | None:
        """Decide how `n_items` vectors of `width` numbers are searched; None for an exact search.

        Parameters
        ----------
        limit_mb : float
            Largest thing that is broadcast: a graph or cells are made on the driver, and only below it.

        Raises
        ------
        EnvironmentProblem
            If `search` is ivf or hnsw and faiss is not installed.
        ConfigError
            If `search` is ivf or hnsw and what it needs is above the limit.
        """
        if self.search == "exact" or (self.search == "auto" and n_items < self.hnsw_from_items):
            return None
        kind: Literal["ivf", "hnsw"] = "hnsw" if self.search == "hnsw" else "ivf"
        what = "the graph" if kind == "hnsw" else "the cells"
        size = graph_bytes(n_items, width) if kind == "hnsw" else cells_bytes(n_items, width, self.ivf_codes)
        mb, key = size / arrow.MEGABYTE, f"retrievers.{self.name}.search"
        if not graph.available():
            found = f"{self.name}: {n_items:,} items can be searched by {kind} if faiss is installed"
            if self.search != "auto":
                raise EnvironmentProblem(f"{found}; install recsys[ann], or set {key} to auto")
            note(f"{found} (recsys[ann]); all of them are looked at instead")
            return None
        if mb > limit_mb:
            found = f"{self.name}: {what} of {n_items:,} items take {mb:.0f} MB, above spark.broadcast_limit_mb"
            if self.search != "auto":
                raise ConfigError(f"{found}; raise it, or set {key} to auto")
            note(f"{found}: all of them are looked at instead")
            return None
        return kind if n_items else None

    def graph_of(self, items: ItemMatrix, limit_mb: float) -> Approximate | None:
        """Link the items or put them into cells, if they are to be searched so."""
        kind = self.approximate(len(items.positions), items.vectors.shape[1], limit_mb)
        if kind is None:
            return None
        with step(f"prepare {kind} of {len(items.positions):,} items of {self.name}"):
            if kind == "hnsw":
                return Graph.of(items, width=self.hnsw_width)
            return Cells.of(items, probes=self.ivf_probes, codes=self.ivf_codes)

    def recall(
        self, items: DataFrame, users: DataFrame, *, n_items: int, width: int, limit_mb: float
    ) -> Mapping[str, float]:
        """Measure what a graph or cells find of the 100 best of 200 users, chosen by a hash; empty without either.

        Parameters
        ----------
        items : DataFrame
            `item_id, factors`.
        users : DataFrame
            `user_id, factors`.
        n_items, width : int
            Size of the factors.
        """
        kind = self.approximate(n_items, width, limit_mb)
        if kind is None:
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
        key = f"retrievers.{self.name}.{'hnsw_width' if kind == 'hnsw' else 'ivf_probes'}"
        few = "" if found >= _ENOUGH else f"; raise {key}, or set its search to exact"
        note(f"{self.name}: {kind} finds {found:.1%} of the {LISTED} best of {some.num_rows} users{few}")
        return {f"{kind}_recall": found}


def sampled(users: DataFrame) -> DataFrame:
    """Take the users by a hash of their ids."""
    return users.orderBy(F.xxhash64("user_id"), "user_id").limit(SAMPLE)
