"""Alternating least squares by Spark MLlib, for implicit feedback or for ratings, and exact top-k from its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.errors import NothingToDo
from recsys.progress import step
from recsys.retrieval.als.affinity import RECENT
from recsys.retrieval.als.kernel import AlsKernel, ItemMatrix
from recsys.retrieval.als.relating import related
from recsys.retrieval.als.tables import ALS_ITEM_FACTORS, ALS_USER_FACTORS
from recsys.retrieval.als.topk import top_k
from recsys.retrieval.audience import column_name
from recsys.retrieval.base import Model, Retriever
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.declared import Feature, ItemFrame
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import ratings
from recsys.retrieval.reasons import Case
from recsys.retrieval.training import TrainingData
from recsys.settings import Identifier, NonNegativeFloat, PositiveInt

_PAIRS_PER_BLOCK = 1_000_000
_CHECKPOINT_INTERVAL = 10


class AlsModel(Model["Als"]):
    """Factors of users and of items: the frames `user_factors` and `item_factors`, each `idx, <id>, factors`."""

    item_frames: ClassVar[Mapping[str, ItemFrame]] = {
        "item_factors": ItemFrame(("item_id", "factors"), "4 * size(factors)")
    }

    def lists(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the `k` largest inner products of each user who has factors."""
        known = self.frames["user_factors"].join(users.select("user_id"), on="user_id", how="inner")
        items = self.frames["item_factors"]
        return top_k(known, items, k=k, exclude=exclude, broadcast_limit_mb=self.broadcast_limit_mb)

    def kernel(self, catalog: Catalog, tables: Mapping[str, pa.Table]) -> AlsKernel:
        """Put the items' factors in the order of their positions."""
        table, factors = tables["item_factors"], column_name(self.settings.name, "factors")
        place = catalog.find(table["item_id"])
        order = np.argsort(place)
        order = order[place[order] >= 0]
        if not len(order):
            return AlsKernel(ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 1), np.float32)), factors)
        vectors = np.ascontiguousarray(arrow.matrix(table["factors"])[order])
        return AlsKernel(ItemMatrix(place[order], vectors), factors)

    def user_columns(self) -> DataFrame:
        """`user_id, factors`."""
        return self.frames["user_factors"].select("user_id", "factors")

    def pair_features(self, pairs: DataFrame) -> DataFrame:
        """Add the inner product, its cosine, and the cosine with the centroid of the user's recent items."""
        return related(pairs, self.frames["user_factors"], self.frames["item_factors"], self.known_audience().histories)

    def explain(self, lists: DataFrame) -> tuple[DataFrame, Sequence[Case]]:
        """Point to the people whose factors are alike."""
        return lists, [Case(F.lit(True), "similar_taste", F.lit("People with similar taste chose this"))]


class Als(Retriever):
    """Alternating least squares: factors of users and items whose inner product is the score.

    Implicit feedback after Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (ICDM 2008),
    with confidence 1 + alpha x weight; or ratings. MLlib fits it.
    """

    kind: Literal["als"] = Field("als", description="The algorithm")
    name: Identifier = Field("als", description="What its proposals, tables and features go under")
    rank: PositiveInt = Field(64, description="Length of the factors")
    iterations: PositiveInt = Field(10, description="Alternations")
    reg: NonNegativeFloat = Field(0.1, description="Regularization; MLlib scales it by each row's count")
    alpha: NonNegativeFloat = Field(4.0, description="Confidence per unit of weight (implicit feedback)")
    implicit: bool = Field(True, description="Implicit feedback; false fits the values themselves (ratings)")
    blocks: PositiveInt | None = Field(
        None, description="Blocks of users and of items; null: from the number of interactions"
    )
    min_user_events: PositiveInt = Field(2, description="Users with fewer items get no factors")
    min_item_events: PositiveInt = Field(2, description="Items with fewer users get no factors")
    seed: int = Field(7, description="Seed of the initial factors")

    model = AlsModel
    tables = {"user_factors": ALS_USER_FACTORS, "item_factors": ALS_ITEM_FACTORS}
    features = (
        Feature("score", "Inner product of the factors of user and item; null where either has none", "zscore"),
        Feature("rank", "ALS rank; null where ALS did not propose it"),
        Feature("cosine", "Cosine of the two", "zscore"),
        Feature(
            "recent",
            f"Cosine of the item's factors with the mean of those of the user's {RECENT} latest items that have any",
            "zscore",
        ),
    )

    def learn(self, data: TrainingData) -> AlsModel:
        """Factorize the interactions.

        The input is computed once, in a fixed order and partitioning, before MLlib builds its blocks: the number of
        blocks decides the random start, so it comes from the data and not from the cluster.

        Raises
        ------
        NothingToDo
            If fewer pairs remain than a factorization needs.
        """
        with persisted(self._pairs(data)) as pairs, persisted(self._frequent(pairs)) as counted:
            metrics = self._size(counted, data)
            blocks = self.blocks or max(2, -(-int(metrics["interactions"]) // _PAIRS_PER_BLOCK))
            ordered = counted.repartition(blocks, "user_idx").sortWithinPartitions("user_idx", "item_idx")
            with persisted(ordered) as ready, step("fit ALS") as this:
                # Within one partition, rows are counted without a shuffle.
                this.rows = ready.coalesce(1).count()
                pairs.unpersist()
                return self._fit(ready, data, blocks, metrics)

    def entries(self, data: TrainingData) -> DataFrame:
        """Return `user_idx, item_idx, weight`: pairs of indexed users and items that have enough company.

        Rare items are dropped first and users are counted on what is left, once; nothing is iterated.
        """
        return self._frequent(self._pairs(data))

    def _pairs(self, data: TrainingData) -> DataFrame:
        """All pairs of indexed users and items: each step of `_frequent` reads them twice."""
        if self.implicit:
            found = data.interactions
        else:
            found = ratings(data.log.events, as_of=data.as_of, window_days=data.signal.window_days)
        return (
            found.join(data.user_index.withColumnRenamed("idx", "user_idx"), on="user_id", how="inner")
            .join(data.item_index.withColumnRenamed("idx", "item_idx"), on="item_id", how="inner")
            .select("user_idx", "item_idx", F.col("weight").cast("float").alias("weight"))
        )

    def _frequent(self, pairs: DataFrame) -> DataFrame:
        frequent = _at_least(pairs, "item_idx", self.min_item_events)
        return _at_least(frequent, "user_idx", self.min_user_events)

    def _size(self, entries: DataFrame, data: TrainingData) -> dict[str, float]:
        row = entries.agg(
            F.count("*").alias("interactions"),
            (F.min("user_idx") < F.max("user_idx")).alias("several_users"),
            (F.min("item_idx") < F.max("item_idx")).alias("several_items"),
        ).collect()[0]
        if not (row["several_users"] and row["several_items"]):
            raise NothingToDo(
                f"{self.name} found {row['interactions']} interactions before {data.as_of:%Y-%m-%dT%H:%M:%SZ} among "
                f"users with at least {self.min_user_events} items and items with at least {self.min_item_events} "
                "users; lower its min_user_events and min_item_events, widen signal.window_days, or choose a later "
                "--as-of"
            )
        return {"interactions": float(row["interactions"])}

    def _fit(self, ready: DataFrame, data: TrainingData, blocks: int, metrics: dict[str, float]) -> AlsModel:
        # Loaded here: MLlib takes a while, and most who name this class do not fit it.
        from pyspark.ml.recommendation import ALS

        fitted = ALS(
            rank=self.rank,
            maxIter=self.iterations,
            regParam=self.reg,
            alpha=self.alpha,
            implicitPrefs=self.implicit,
            numUserBlocks=blocks,
            numItemBlocks=blocks,
            seed=self.seed,
            userCol="user_idx",
            itemCol="item_idx",
            ratingCol="weight",
            coldStartStrategy="nan",
            checkpointInterval=_CHECKPOINT_INTERVAL,
        ).fit(ready)
        figures = {**metrics, **_sizes(users=fitted.userFactors, items=fitted.itemFactors)}
        if not self.implicit:
            figures["train_rmse"] = _rmse(fitted.transform(ready))
        frames = {
            "user_factors": with_ids(fitted.userFactors, data.user_index, "user_id"),
            "item_factors": with_ids(fitted.itemFactors, data.item_index, "item_id"),
        }
        return AlsModel(self, frames, data.audience, figures, data.broadcast_limit_mb)


def with_ids(factors: DataFrame, index: DataFrame, id_column: str) -> DataFrame:
    """Turn MLlib's `id, features` into `idx, <id>, factors`."""
    return factors.select(F.col("id").cast("int").alias("idx"), F.col("features").alias("factors")).join(
        index.select("idx", id_column), on="idx", how="inner"
    )


def _at_least(pairs: DataFrame, column: str, least: int) -> DataFrame:
    if least <= 1:
        return pairs
    enough = pairs.groupBy(column).agg(F.count("*").alias("n")).where(F.col("n") >= least).select(column)
    return pairs.join(enough, on=column, how="left_semi")


def _sizes(**frames: DataFrame) -> dict[str, float]:
    """Count the rows of frames in one query."""
    named = [frame.select(F.lit(name).alias("name")) for name, frame in frames.items()]
    counted = reduce(DataFrame.unionByName, named).groupBy("name").count().collect()
    return dict.fromkeys(frames, 0.0) | {row["name"]: float(row["count"]) for row in counted}


def _rmse(predicted: DataFrame) -> float:
    error = F.col("prediction") - F.col("weight")
    # Rounded: the sum's last bits depend on the order in which partitions arrive.
    value = predicted.agg(F.sqrt(F.avg(error * error))).collect()[0][0]
    return round(float(value), 6)
