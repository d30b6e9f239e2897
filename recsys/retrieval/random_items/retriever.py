"""Random: its settings, and lists that are drawn by hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.catalogs import added_before
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import ItemFrame
from recsys.retrieval.random_items.drawing import keyed, walk, walkers
from recsys.retrieval.random_items.kernel import RandomKernel
from recsys.retrieval.random_items.tables import RANDOM_ITEMS
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt


class RandomModel(Model["RandomItems"]):
    """The items that may be drawn: the frame `items`, `item_id, key`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {"items": ItemFrame(("item_id", "key"), "16")}

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return `k` random items for each user, known or not; scores fall along the list and mean nothing else."""
        return walk(self.frames["items"], walkers(users, seed=self.settings.seed), k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> RandomKernel:
        """Put the items into the order of their keys."""
        table = tables["items"]
        position, key = catalog.find(table["item_id"]), table["key"].to_numpy().astype(np.int64)
        order = np.lexsort((position, key))
        return RandomKernel(self.settings.name, position[order[position[order] >= 0]])

    def user_columns(self) -> DataFrame:
        """`user_id, start, step`: where each user's walk begins, and how far it steps."""
        return walkers(self.known_audience().people.select("user_id"), seed=self.settings.seed)


class RandomItems(Retriever):
    """Items drawn uniformly, each user's own, anew for each instant: to explore, and as a baseline.

    What is drawn follows from hashes of the seed, the user, the item and the `as_of` alone. The ranker gets no feature
    of it: there is nothing to learn from chance.
    """

    kind: Literal["random"] = Field("random", description="The algorithm")
    name: Identifier = Field("random", description="What its proposals and tables go under")
    k: PositiveInt = Field(20, description="Items proposed to each user")
    weight: NonNegativeFloat = Field(0.1, description="Weight in the union of the retrievers")
    seed: int = Field(1, ge=0, lt=1 << 31, description="Another seed draws other items")

    model = RandomModel
    tables = {"items": RANDOM_ITEMS}

    def learn(self, data: TrainingData) -> RandomModel:
        """List what is in the catalog or was touched, and not marked unavailable. Nothing is computed yet."""
        log = data.log
        past = ~F.col("is_bot") & (F.col("event_time") < F.lit(data.as_of))
        items = log.events.where(past).select("item_id")
        if log.items is not None:
            listed = added_before(log.items, data.as_of).select("item_id")
            gone = log.items.where("NOT available").select("item_id")
            items = items.unionByName(listed).join(gone, on="item_id", how="left_anti")
        known = keyed(items.where(F.col("item_id").isNotNull()).distinct(), seed=self.seed, as_of=data.as_of)
        return RandomModel(self, {"items": known}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
