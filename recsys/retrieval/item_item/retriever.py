"""Item-item co-occurrence: its settings, and neighbor lists that are followed from a user's recent items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame

from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.item_item.counting import neighbor_lists
from recsys.retrieval.item_item.following import follow, reached, recent
from recsys.retrieval.item_item.kernel import ItemItemKernel, NeighborLists
from recsys.retrieval.item_item.tables import ITEM_NEIGHBORS
from recsys.retrieval.reasons import Case, because_cases
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt


class ItemItemModel(Model["ItemItem"]):
    """Neighbor lists: the frame `neighbors`, `item_id, rank, neighbor_id, score, support`; ranks dense from 1."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "neighbors": ItemFrame(("item_id", "neighbor_id", "score"), "12", items=("item_id", "neighbor_id"))
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of share x similarity over the user's recent items.

        A share is the recent item's weight over the largest weight among them. `because_item_id` is the recent item
        that contributed most (of equals the latest).
        """
        latest = recent(self.known_audience().histories, users, self.settings.recent_items)
        return follow(latest, self.frames["neighbors"], k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> ItemItemKernel:
        """Put the lists one after the other, by the positions of items and of their neighbors."""
        table = tables["neighbors"]
        source, target = catalog.find(table["item_id"]), catalog.find(table["neighbor_id"])
        known = np.flatnonzero((source >= 0) & (target >= 0))
        order = known[np.lexsort((target[known], source[known]))]
        offsets = np.r_[0, np.cumsum(np.bincount(source[order], minlength=len(catalog)))].astype(np.int64)
        score = table["score"].to_numpy().astype(np.float64)
        lists = NeighborLists(offsets, target[order].astype(np.int32), score[order])
        return ItemItemKernel(lists, self.settings.recent_items)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the sum that proposals are ordered by, and its largest term."""
        latest = recent(self.known_audience().histories, pairs.select("user_id").distinct(), self.settings.recent_items)
        return reached(pairs, latest, self.frames["neighbors"])

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the recent item that led to the proposal, if the user's own events show it."""
        return lists, because_cases()


class ItemItem(Retriever):
    """Generalized item-item co-occurrence, S_ij = sum over common users of n_u^-b / (n_i^a n_j^c), top K per item i.

    Cosine (b = 0, a = c = .5), asymmetric cosine and RP3-beta (Paudel et al., Updatable, Accurate, Diverse, and
    Scalable Recommendations for Interactive Applications, TiiS 2017) are special cases. n_u and n_i count whole
    histories; pairs are made from each user's most recent items only, so that a user costs at most max_history^2 / 2
    pairs.
    """

    kind: Literal["item_item"] = Field("item_item", description="The algorithm")
    name: Identifier = Field("neighbors", description="What its proposals, tables and features go under")
    keep: PositiveInt = Field(100, description="Neighbors kept per item")
    max_history: PositiveInt = Field(100, description="Items per user that pairs are made from, the most recent ones")
    user_power: NonNegativeFloat = Field(0.5, description="b: how much a long history is discounted")
    source_power: NonNegativeFloat = Field(0.5, description="a: how much a popular source item is discounted")
    target_power: NonNegativeFloat = Field(0.35, description="c: how much a popular target item is discounted")
    min_support: PositiveInt = Field(2, description="Fewest users in common")
    recent_items: PositiveInt = Field(20, description="Recent items of a user whose neighbors are proposed")

    model = ItemItemModel
    tables = {"neighbors": ITEM_NEIGHBORS}
    features = (
        Feature("score", "Sum of share x similarity over the user's recent items; null for users without a past"),
        Feature("rank", "Neighbor rank; null where it was not proposed"),
        Feature("best", "Largest term of that sum"),
    )
    not_fitted = Retriever.not_fitted | {"recent_items"}

    def learn(self, data: TrainingData) -> ItemItemModel:
        """Count common users. Only the size of the item index is looked at before the frame is used."""
        lists = neighbor_lists(
            data.interactions,
            data.item_index,
            keep=self.keep,
            max_history=self.max_history,
            powers=(self.user_power, self.source_power, self.target_power),
            min_support=self.min_support,
            broadcast_limit_mb=data.broadcast_limit_mb,
        )
        return ItemItemModel(self, {"neighbors": lists}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
