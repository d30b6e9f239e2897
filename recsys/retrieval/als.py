"""Alternating least squares by Spark MLlib, for implicit feedback or for ratings, and exact top-k from its factors.

Implicit: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets (ICDM 2008), confidence
1 + alpha x weight. MLlib scales `reg` by each row's count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.progress import step
from recsys.retrieval.base import Frames, persisted
from recsys.retrieval.topk import top_k

_PAIRS_PER_BLOCK = 1_000_000
_CHECKPOINT_INTERVAL = 10


@dataclass(frozen=True)
class AlsModel:
    """Factors of users and items.

    Attributes
    ----------
    user_factors, item_factors : DataFrame
        `idx, user_id` or `item_id`, `factors` (array<float>).
    metrics : dict of str to float
        Figures of the fit: `users, items, interactions`, and `train_rmse` for ratings.
    broadcast_limit_mb : float
        Largest block of item factors that is broadcast.
    """

    user_factors: DataFrame
    item_factors: DataFrame
    metrics: dict[str, float] = field(default_factory=dict)
    broadcast_limit_mb: float = 256

    def recommend(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the `k` largest inner products of each user who has factors."""
        known = self.user_factors.join(users.select("user_id"), on="user_id", how="inner")
        return top_k(known, self.item_factors, k=k, exclude=exclude, broadcast_limit_mb=self.broadcast_limit_mb)

    def frames(self) -> dict[str, DataFrame]:
        """Return `user_factors` and `item_factors`."""
        return {"user_factors": self.user_factors, "item_factors": self.item_factors}

    @classmethod
    def from_frames(cls, frames: Mapping[str, DataFrame]) -> Self:
        """Make a model of saved factors."""
        return cls(frames["user_factors"], frames["item_factors"])


@dataclass(frozen=True)
class AlsRetriever:
    """MLlib's ALS; the settings are those of `recsys.config.sections.AlsConfig`."""

    rank: int = 64
    iterations: int = 10
    reg: float = 0.1
    alpha: float = 4.0
    implicit: bool = True
    blocks: int | None = None
    min_user_events: int = 2
    min_item_events: int = 2
    seed: int = 7
    broadcast_limit_mb: float = 256

    def fit(self, frames: Frames) -> AlsModel:
        """Factorise the interactions.

        The input is computed once, in a fixed order and partitioning, before MLlib builds its blocks: the number of
        blocks decides the random start, so it comes from the data and not from the cluster.

        Raises
        ------
        NothingToDo
            If fewer pairs remain than a factorisation needs.
        """
        entries = training_entries(frames, min_user_events=self.min_user_events, min_item_events=self.min_item_events)
        with persisted(entries) as counted:
            metrics = self._size(counted, frames)
            blocks = self.blocks or max(2, -(-int(metrics["interactions"]) // _PAIRS_PER_BLOCK))
            ordered = counted.repartition(blocks, "user_idx").sortWithinPartitions("user_idx", "item_idx")
            with persisted(ordered) as ready, step("fit ALS") as this:
                this.rows = ready.count()
                return self._fit(ready, frames, blocks, metrics)

    def _size(self, entries: DataFrame, frames: Frames) -> dict[str, float]:
        row = entries.agg(
            F.count("*").alias("interactions"),
            (F.min("user_idx") < F.max("user_idx")).alias("several_users"),
            (F.min("item_idx") < F.max("item_idx")).alias("several_items"),
        ).collect()[0]
        if not (row["several_users"] and row["several_items"]):
            raise NothingToDo(
                f"train_als found {row['interactions']} interactions before {frames.as_of:%Y-%m-%dT%H:%M:%SZ} among "
                f"users with at least {self.min_user_events} items and items with at least {self.min_item_events} "
                "users; lower als.min_user_events and als.min_item_events, widen signal.window_days, or choose a "
                "later --as-of"
            )
        return {"interactions": float(row["interactions"])}

    def _fit(self, ready: DataFrame, frames: Frames, blocks: int, metrics: dict[str, float]) -> AlsModel:
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
        users = with_ids(fitted.userFactors, frames.need("user_index"), "user_id")
        items = with_ids(fitted.itemFactors, frames.need("item_index"), "item_id")
        figures = {**metrics, "users": float(fitted.userFactors.count()), "items": float(fitted.itemFactors.count())}
        if not self.implicit:
            figures["train_rmse"] = _rmse(fitted.transform(ready))
        return AlsModel(users, items, figures, self.broadcast_limit_mb)


def training_entries(frames: Frames, *, min_user_events: int, min_item_events: int) -> DataFrame:
    """Return `user_idx, item_idx, weight`: pairs of indexed users and items that have enough company.

    Rare items are dropped first and users are counted on what is left, once; nothing is iterated.
    """
    pairs = (
        frames.need("interactions")
        .join(_numbered(frames.need("user_index"), "user"), on="user_id", how="inner")
        .join(_numbered(frames.need("item_index"), "item"), on="item_id", how="inner")
        .select("user_idx", "item_idx", F.col("weight").cast("float").alias("weight"))
    )
    return _at_least(_at_least(pairs, "item_idx", min_item_events), "user_idx", min_user_events)


def with_ids(factors: DataFrame, index: DataFrame, id_column: str) -> DataFrame:
    """Turn MLlib's `id, features` into `idx, <id>, factors`."""
    return factors.select(F.col("id").cast("int").alias("idx"), F.col("features").alias("factors")).join(
        index.select("idx", id_column), on="idx", how="inner"
    )


def _numbered(index: DataFrame, entity: str) -> DataFrame:
    return index.select(f"{entity}_id", F.col("idx").alias(f"{entity}_idx"))


def _at_least(pairs: DataFrame, column: str, least: int) -> DataFrame:
    if least <= 1:
        return pairs
    enough = pairs.groupBy(column).agg(F.count("*").alias("n")).where(F.col("n") >= least).select(column)
    return pairs.join(enough, on=column, how="left_semi")


def _rmse(predicted: DataFrame) -> float:
    error = F.col("prediction") - F.col("weight")
    # Rounded: the sum's last bits depend on the order in which partitions arrive.
    value = predicted.agg(F.sqrt(F.avg(error * error))).collect()[0][0]
    return round(float(value), 6)
