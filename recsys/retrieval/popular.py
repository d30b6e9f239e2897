"""What most people touch: overall and by segment, over a window that widens until there are enough items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.base import Frames
from recsys.transforms.interactions import speaks, type_weight

OVERALL = ""
"""Name of the segment that holds everybody."""

_SCALE = 1_000_000


@dataclass(frozen=True)
class PopularModel:
    """Ready lists.

    Attributes
    ----------
    popular : DataFrame
        `segment, rank, item_id, score`; '' is everybody.
    segments : DataFrame
        `user_id, segment`, one row per profile; users without one take the list of everybody.
    """

    popular: DataFrame
    segments: DataFrame

    def recommend(self, users: DataFrame, *, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """Return the first `k` items of each user's list: the segment's own, then everybody's, excluded ones left out.

        Ranks follow the list; a score is the item's in the list that it came from.
        """
        # Numbered anew: a list that lost items still has to be walked from 1 without gaps.
        order = W.Window.partitionBy("segment").orderBy("rank")
        listed = self.popular.select("segment", "item_id", F.row_number().over(order).alias("rank"), "score")
        asked = users.select("user_id").join(self._reach(k, exclude), on="user_id", how="left")
        own = asked.join(self.segments.select("user_id", "segment"), on="user_id", how="inner")
        everybody = F.broadcast(listed.where(F.col("segment") == OVERALL))
        rows = asked.withColumn("segment", F.lit(OVERALL)).join(everybody, on="segment", how="inner")
        rows = rows.unionByName(own.join(listed, on="segment", how="inner"))
        rows = rows.where(F.col("rank") <= F.coalesce("reach", F.lit(2 * k)))
        if exclude is not None:
            rows = rows.join(exclude, on=["user_id", "item_id"], how="left_anti")
        first = (
            rows.groupBy("user_id", "item_id")
            .agg(F.min(F.struct((F.col("segment") == OVERALL).alias("late"), "rank", "score")).alias("best"))
            .select("user_id", "item_id", "best.late", F.col("best.rank").alias("place"), "best.score")
        )
        mine = W.Window.partitionBy("user_id").orderBy("late", "place")
        return (
            first.withColumn("rank", F.row_number().over(mine))
            .where(F.col("rank") <= k)
            .select("user_id", "item_id", "rank", "score")
        )

    def _reach(self, k: int, exclude: DataFrame | None) -> DataFrame:
        """How far down the lists a user may have to go: twice what is wanted and what is excluded.

        The segment's list yields k items, or fewer than k + excluded are in both lists.
        """
        if exclude is None:
            return self.segments.select("user_id", F.lit(2 * k).alias("reach")).where(F.lit(False))
        listed = exclude.join(self.popular.select("item_id").distinct(), on="item_id", how="left_semi")
        return listed.groupBy("user_id").agg((2 * (F.count("*") + k)).alias("reach"))

    def frames(self) -> dict[str, DataFrame]:
        """Return `popular` and `segments`."""
        return {"popular": self.popular, "segments": self.segments}

    @classmethod
    def from_frames(cls, frames: Mapping[str, DataFrame]) -> Self:
        """Make a model of saved lists and the profiles of the day."""
        return cls(frames["popular"], frames["segments"])


@dataclass(frozen=True)
class PopularRetriever:
    """Popularity; settings of `PopularConfig`, and of `SignalConfig` what makes an event count (`recsys.config`)."""

    k: int = 500
    window_days: int = 30
    min_segment_users: int = 50
    weights: Mapping[str, float] = field(default_factory=dict)
    min_value: float | None = None

    def fit(self, frames: Frames) -> PopularModel:
        """Count users per item: each counts once, with the weightiest thing that they did in the window."""
        segments = profile_segments(frames)
        touched = self._touched(frames)
        if frames.users is not None:
            named = touched.join(self._large(segments), on="user_id", how="left")
            touched = named.select("*", F.explode(_lists("segment")).alias("of")).drop("segment")
        else:
            touched = touched.withColumn("of", F.lit(OVERALL))
        touched = touched.withColumnRenamed("of", "segment")
        inside = touched.join(F.broadcast(self._width(touched)), on="segment", how="inner").where("level <= width")
        counted = (
            inside.groupBy("segment", "user_id", "item_id")
            .agg(F.max("units").alias("units"))
            .groupBy("segment", "item_id")
            .agg((F.sum("units") / F.lit(float(_SCALE))).alias("score"))
        )
        order = W.Window.partitionBy("segment").orderBy(F.col("score").desc(), F.col("item_id"))
        ranked = counted.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= self.k)
        return PopularModel(ranked.select("segment", "rank", "item_id", "score"), segments)

    def _touched(self, frames: Frames) -> DataFrame:
        """`user_id, item_id, units, level`: what counts; level n lies within window x 2^n of `as_of`."""
        bound = F.lit(frames.as_of)
        days = (F.unix_micros(bound) - F.unix_micros("event_time")) / F.lit(86_400e6)
        level = F.greatest(F.ceil(F.log2(days / F.lit(float(self.window_days)))), F.lit(0)).cast("int")
        people = ~F.col("is_bot") & (F.col("event_time") < bound)
        return (
            frames.events.where(people & speaks(self.weights, self.min_value))
            .select(
                "user_id",
                "item_id",
                F.rint(type_weight(self.weights) * _SCALE).cast("bigint").alias("units"),
                level.alias("level"),
            )
            .groupBy("user_id", "item_id", "level")
            .agg(F.max("units").alias("units"))
        )

    def _large(self, segments: DataFrame) -> DataFrame:
        sizes = segments.groupBy("segment").agg(F.count("*").alias("n"))
        return segments.join(
            F.broadcast(sizes.where(F.col("n") >= self.min_segment_users).select("segment")), on="segment", how="inner"
        )

    def _width(self, touched: DataFrame) -> DataFrame:
        """The smallest level of each segment that reaches `k` items, else its largest: some twenty rows per segment."""
        firsts = touched.groupBy("segment", "item_id").agg(F.min("level").alias("level"))
        sizes = firsts.groupBy("segment", "level").agg(F.count("*").alias("n"))
        upto = W.Window.partitionBy("segment").orderBy("level")
        reached = sizes.withColumn("n", F.sum("n").over(upto.rowsBetween(W.Window.unboundedPreceding, 0)))
        enough = F.min(F.when(F.col("n") >= self.k, F.col("level")))
        return reached.groupBy("segment").agg(F.coalesce(enough, F.max("level")).alias("width"))


def profile_segments(frames: Frames) -> DataFrame:
    """Return `user_id, segment` of the profiles that name one."""
    if frames.users is None:
        return frames.events.select("user_id", F.lit(None).cast("string").alias("segment")).where(F.lit(False))
    named = F.col("segment").isNotNull() & (F.col("segment") != OVERALL)
    return frames.users.where(named).select("user_id", "segment")


def with_catalogue(popular: DataFrame, items: DataFrame, *, k: int) -> DataFrame:
    """Fill the list of everybody up to `k` with catalogue items that nobody touched (score 0), the newest first.

    Without it a small shop's cold items could reach nobody, and who has seen everything popular would get nothing.

    Parameters
    ----------
    popular : DataFrame
        `segment, rank, item_id, score`.
    items : DataFrame
        Catalogue valid at the instant: `item_id, available, added_at`.
    """
    listed = popular.where(F.col("segment") == OVERALL)
    cold = items.where("available").join(listed.select("item_id"), on="item_id", how="left_anti")
    newest = cold.orderBy(F.col("added_at").desc_nulls_last(), "item_id").limit(k).select("item_id", "added_at")
    place = W.Window.partitionBy(F.lit(0)).orderBy(F.col("added_at").desc_nulls_last(), F.col("item_id"))
    taken = listed.agg(F.count("*").alias("taken"))
    filled = newest.crossJoin(F.broadcast(taken)).select(
        F.lit(OVERALL).alias("segment"),
        (F.row_number().over(place) + F.col("taken")).cast("int").alias("rank"),
        "item_id",
        F.lit(0.0).alias("score"),
    )
    return popular.unionByName(filled.where(F.col("rank") <= k))


def _lists(segment: str) -> Column:
    """The lists that count for a user: everybody's, and the segment's own where there is one."""
    return F.array_compact(F.array(F.lit(OVERALL), F.col(segment)))
