"""Popularity: its settings, and ready lists overall and by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.kernels import Ints
from recsys.retrieval.popular.counting import OVERALL, popular_lists
from recsys.retrieval.popular.kernel import PopularKernel
from recsys.retrieval.popular.listing import listed, walk
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.retrieval.reasons import Case, sentence
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt


class PopularModel(Model["Popular"]):
    """Ready lists: the frame `popular`, `segment, rank, item_id, score`; the segment '' is everybody."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "popular": ItemFrame(("segment", "rank", "item_id", "score"), "32")
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the first `k` items of each user's list: the segment's own, then everybody's, excluded ones left out.

        Users without a segment that has a list get everybody's. Ranks follow the list; a score is the item's in the
        list that it came from.
        """
        return walk(self.frames["popular"], self.known_audience().segments, users, k=k, exclude=exclude)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> PopularKernel:
        """Follow each segment's list by what everybody's has beside it."""
        table = tables["popular"]
        place = catalog.find(table["item_id"])
        score, rank = table["score"].to_numpy().astype(np.float64), table["rank"].to_numpy().astype(np.int64)
        segment = table["segment"].to_numpy().astype(str)
        order = np.lexsort((rank, segment))
        order = order[place[order] >= 0]
        found: dict[str, Ints] = {str(name): order[segment[order] == name] for name in np.unique(segment)}
        everybody = found.pop(OVERALL, np.zeros(0, np.int64))
        lists = []
        for own in found.values():
            more = everybody[~np.isin(place[everybody], place[own])]
            both = np.r_[own, more]
            lists.append((place[both], score[both]))
        lists.append((place[everybody], score[everybody]))
        return PopularKernel(pa.array(list(found), pa.string()), lists)

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the item's score in the list that the user gets."""
        return listed(pairs, self.frames["popular"], self.known_audience().segments)

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Name the segment where the item is in its own list; else say that it is popular, if anybody touched it."""
        local, common = (f"{self.settings.name}:{which}" for which in ("local", "common"))
        popular = self.frames["popular"]
        of_segment = popular.where(F.col("segment") != OVERALL).select(
            F.col("segment").alias("user_segment"), "item_id", F.lit(True).alias(local)
        )
        of_all = popular.where((F.col("segment") == OVERALL) & (F.col("score") > 0))
        joined = lists.join(of_segment, on=["user_segment", "item_id"], how="left").join(
            of_all.select("item_id", F.lit(True).alias(common)), on="item_id", how="left"
        )
        return joined, [
            Case(F.col(f"`{local}`"), "popular_segment", sentence("Popular in {}", F.col("user_segment"))),
            Case(F.col(f"`{common}`"), "popular", F.lit("Popular now")),
        ]


class Popular(Retriever):
    """What most people touched lately, overall and by segment; each user counts once, with the weightiest event.

    Where fewer than `keep` items were touched, the catalog's others follow in everybody's list, the newest first.
    """

    kind: Literal["popular"] = Field("popular", description="The algorithm")
    name: Identifier = Field("popular", description="What its proposals, tables and features go under")
    k: PositiveInt = Field(50, description="Items proposed to each user")
    weight: NonNegativeFloat = Field(0.1, description="Weight in the union of the retrievers")
    keep: PositiveInt = Field(500, description="Items kept per segment")
    window_days: PositiveInt = Field(
        30, description="Days that are counted; doubled while fewer than `keep` items are found"
    )
    min_segment_users: PositiveInt = Field(50, description="Smaller segments have no list of their own")

    model = PopularModel
    tables = {"popular": POPULAR_ITEMS}
    features = (
        Feature("rank", "Popularity rank; null where it was not proposed"),
        Feature("score", "Score in the popular list that the user gets; 0 for an item that is not in it"),
    )
    is_baseline = True

    def learn(self, data: TrainingData) -> PopularModel:
        """Count users per item. Nothing is computed before the frame is used."""
        lists = popular_lists(
            data.log.events,
            as_of=data.as_of,
            signal=data.signal,
            profiles=data.log.users,
            items=data.log.items,
            keep=self.keep,
            window_days=self.window_days,
            min_segment_users=self.min_segment_users,
        )
        return PopularModel(self, {"popular": lists}, data.audience, broadcast_limit_mb=data.broadcast_limit_mb)
