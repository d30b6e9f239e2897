"""Item-item co-occurrence, generalised: S_ij = sum over common users of n_u^-b / (n_i^a n_j^c), top K per item i.

Cosine (b 0, a = c = .5), asymmetric cosine and RP3-beta are special cases. n_u and n_i count whole histories; pairs are
made from each user's most recent items only, so that a user costs at most max_history^2 / 2 pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.base import Frames
from recsys.retrieval.blobs import MEGABYTE
from recsys.retrieval.topk import first_k

KIND = "cooccurrence"

_SCALE = 1_000_000_000
"""Users' parts are summed as integers of this fraction, so that no sum depends on the order of its terms."""
_COUNT_BYTES = 24


@dataclass(frozen=True)
class NeighborsModel:
    """Neighbour lists and the recent items that they are followed from.

    Attributes
    ----------
    neighbors : DataFrame
        `item_id, rank, neighbor_id, score, support`; ranks dense from 1.
    histories : DataFrame
        `user_id, item_id, weight, last_time`: what recent items are taken from.
    recent_items : int
        Recent items per user that are followed.
    """

    neighbors: DataFrame
    histories: DataFrame
    recent_items: int = 20

    def recommend(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the items with the largest sum of share x similarity over the user's recent items.

        A share is the recent item's weight over the largest weight among them. Beside the columns of the protocol,
        `because_item_id` is the recent item that contributed most (of equals the latest).
        """
        return follow(recent(self.histories, users, self.recent_items), self.neighbors, k=k, exclude=exclude)

    def frames(self) -> dict[str, DataFrame]:
        """Return `neighbors` and `histories`."""
        return {"neighbors": self.neighbors, "histories": self.histories}

    @classmethod
    def from_frames(cls, frames: Mapping[str, DataFrame]) -> Self:
        """Make a model of saved neighbours and the histories of the day."""
        return cls(frames["neighbors"], frames["histories"])


@dataclass(frozen=True)
class NeighborsRetriever:
    """Generalised co-occurrence; the settings are those of `recsys.config.sections.NeighborsConfig`."""

    k: int = 100
    max_history: int = 100
    user_power: float = 0.5
    source_power: float = 0.5
    target_power: float = 0.35
    min_support: int = 2
    recent_items: int = 20
    broadcast_limit_mb: float = 256

    def fit(self, frames: Frames) -> NeighborsModel:
        """Count common users. Nothing is computed before the model's frames are."""
        numbered = frames.need("interactions").join(
            frames.need("item_index").select("item_id", "idx"), on="item_id", how="inner"
        )
        counts = numbered.groupBy("idx").agg(F.count("*").alias("n"))
        if _largest(frames.need("item_index")) * _COUNT_BYTES <= self.broadcast_limit_mb * MEGABYTE:
            counts = F.broadcast(counts)
        scored = self._scored(self._pairs(numbered), counts)
        ids = frames.need("item_index").select("idx", "item_id")
        named = scored.join(ids.withColumnRenamed("idx", "i"), on="i", how="inner").join(
            ids.select(F.col("idx").alias("j"), F.col("item_id").alias("neighbor_id")), on="j", how="inner"
        )
        order = W.Window.partitionBy("item_id").orderBy(F.col("score").desc(), F.col("neighbor_id"))
        lists = (
            named.select("item_id", F.row_number().over(order).alias("rank"), "neighbor_id", "score", "support")
        ).where(F.col("rank") <= self.k)
        histories = frames.need("interactions").select("user_id", "item_id", "weight", "last_time")
        return NeighborsModel(lists, histories, self.recent_items)

    def _pairs(self, numbered: DataFrame) -> DataFrame:
        """Unordered pairs `i < j` with their summed parts and common users; combined on the map side."""
        newest = F.struct((-F.unix_micros("last_time")).alias("age"), "item_id", "idx")
        latest = F.slice(F.array_sort(F.collect_list(newest)), 1, self.max_history)
        part = F.rint(F.pow(F.col("n_u").cast("double"), F.lit(-float(self.user_power))) * _SCALE).cast("bigint")
        kept = numbered.groupBy("user_id").agg(F.count("*").alias("n_u"), latest.alias("latest"))
        listed = kept.select(part.alias("part"), F.array_sort(F.col("latest.idx")).alias("items"))
        first = listed.where(F.size("items") > 1).select("part", "items", F.posexplode("items").alias("at", "i"))
        both = first.select("part", "i", F.explode(F.slice("items", F.col("at") + 2, self.max_history)).alias("j"))
        return (
            both.groupBy("i", "j")
            .agg(F.sum("part").alias("total"), F.count("*").alias("support"))
            .where(F.col("support") >= self.min_support)
        )

    def _scored(self, pairs: DataFrame, counts: DataFrame) -> DataFrame:
        """Both directions of each pair, with the popularity of source and target divided out."""
        of_i = counts.select(F.col("idx").alias("i"), F.col("n").alias("n_i"))
        of_j = counts.select(F.col("idx").alias("j"), F.col("n").alias("n_j"))
        known = pairs.join(of_i, on="i", how="inner").join(of_j, on="j", how="inner")

        def direction(source: str, target: str) -> Column:
            score = (
                F.col("total")
                / F.lit(float(_SCALE))
                / (
                    F.pow(F.col(f"n_{source}").cast("double"), F.lit(float(self.source_power)))
                    * F.pow(F.col(f"n_{target}").cast("double"), F.lit(float(self.target_power)))
                )
            )
            return F.struct(
                F.col(source).alias("i"),
                F.col(target).alias("j"),
                score.alias("score"),
                F.col("support").alias("support"),
            )

        return known.select(F.explode(F.array(direction("i", "j"), direction("j", "i"))).alias("row")).select("row.*")


def recent(histories: DataFrame, users: DataFrame, n: int) -> DataFrame:
    """Return `user_id, item_id, place, share`: each user's `n` latest items, latest first, ties by id."""
    mine = histories.where(F.col("weight") > 0).join(users.select("user_id"), on="user_id", how="left_semi")
    order = W.Window.partitionBy("user_id").orderBy(F.col("last_time").desc(), F.col("item_id"))
    everything = W.Window.partitionBy("user_id")
    return (
        mine.withColumn("place", F.row_number().over(order))
        .where(F.col("place") <= n)
        .select("user_id", "item_id", "place", (F.col("weight") / F.max("weight").over(everything)).alias("share"))
    )


def follow(latest: DataFrame, neighbors: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
    """Add up neighbours over recent items, entirely in joins: for any number of items.

    Parameters
    ----------
    latest : DataFrame
        As `recent` returns it.
    neighbors : DataFrame
        `item_id, neighbor_id, score`.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, because_item_id`.
    """
    parts = latest.join(neighbors.select("item_id", "neighbor_id", "score"), on="item_id", how="inner").select(
        "user_id",
        F.col("neighbor_id").alias("to"),
        F.struct("place", (F.col("share") * F.col("score")).alias("part"), "item_id").alias("from"),
    )
    # In the order of the places, so that the sum is the same to the last bit wherever it is made.
    ordered = parts.groupBy("user_id", F.col("to").alias("item_id")).agg(
        F.array_sort(F.collect_list("from")).alias("from"),
        F.max_by("from.item_id", F.struct("from.part", -F.col("from.place"))).alias("because_item_id"),
    )
    total = F.aggregate("from", F.lit(0.0), lambda sofar, entry: sofar + entry["part"])
    summed = ordered.select("user_id", "item_id", total.alias("score"), "because_item_id")
    if exclude is not None:
        summed = summed.join(exclude, on=["user_id", "item_id"], how="left_anti")
    return first_k(summed, k).select("user_id", "item_id", "rank", "score", "because_item_id")


def _largest(index: DataFrame) -> int:
    return int(index.agg(F.coalesce(F.max("idx"), F.lit(0))).collect()[0][0])
