"""Co-occurrence counted in Spark."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.arrow import MEGABYTE

_SCALE = 1_000_000_000
"""Users' parts are summed as integers of this fraction, so that no sum depends on the order of its terms."""
_COUNT_BYTES = 64


def neighbor_lists(
    interactions: DataFrame,
    item_index: DataFrame,
    *,
    keep: int,
    max_history: int,
    powers: tuple[float, float, float],
    min_support: int,
    broadcast_limit_mb: float,
) -> DataFrame:
    """Return `item_id, rank, neighbor_id, score, support`: the most similar items of each item.

    Parameters
    ----------
    interactions : DataFrame
        `user_id, item_id, last_time`, unique by pair.
    item_index : DataFrame
        `item_id, idx`.
    keep : int
        Neighbors per item.
    max_history : int
        Most recent items of a user that pairs are made from.
    powers : tuple of float
        b, a and c: how much a long history, a popular source and a popular target are discounted.
    min_support : int
        Fewest users in common.
    """
    numbered = interactions.join(item_index, on="item_id", how="inner")
    counts = numbered.groupBy("idx", "item_id").agg(F.count("*").alias("n"))
    if _largest(item_index) * _COUNT_BYTES <= broadcast_limit_mb * MEGABYTE:
        counts = F.broadcast(counts)
    of_user, of_source, of_target = powers
    pairs = _pairs(numbered, max_history, of_user).where(F.col("support") >= min_support)
    scored = _scored(pairs, counts, of_source, of_target)
    order = W.Window.partitionBy("item_id").orderBy(F.col("score").desc(), F.col("neighbor_id"))
    ranked = scored.select("item_id", F.row_number().over(order).alias("rank"), "neighbor_id", "score", "support")
    return ranked.where(F.col("rank") <= keep)


def _pairs(numbered: DataFrame, max_history: int, power: float) -> DataFrame:
    """Unordered pairs `i < j` with their summed parts and common users; combined on the map side."""
    newest = F.struct((-F.unix_micros("last_time")).alias("age"), "item_id", "idx")
    latest = F.slice(F.array_sort(F.collect_list(newest)), 1, max_history)
    part = F.rint(F.pow(F.col("n_u").cast("double"), F.lit(-float(power))) * _SCALE).cast("bigint")
    kept = numbered.groupBy("user_id").agg(F.count("*").alias("n_u"), latest.alias("latest"))
    listed = kept.select(part.alias("part"), F.array_sort(F.col("latest.idx")).alias("items"))
    first = listed.where(F.size("items") > 1).select("part", "items", F.posexplode("items").alias("at", "i"))
    both = first.select("part", "i", F.explode(F.slice("items", F.col("at") + 2, max_history)).alias("j"))
    return both.groupBy("i", "j").agg(F.sum("part").alias("total"), F.count("*").alias("support"))


def _scored(pairs: DataFrame, counts: DataFrame, of_source: float, of_target: float) -> DataFrame:
    """Both directions of each pair by the items' ids, with the popularity of source and target divided out."""
    of_i = counts.select(F.col("idx").alias("i"), F.col("item_id").alias("id_i"), F.col("n").alias("n_i"))
    of_j = counts.select(F.col("idx").alias("j"), F.col("item_id").alias("id_j"), F.col("n").alias("n_j"))
    known = pairs.join(of_i, on="i", how="inner").join(of_j, on="j", how="inner")

    def direction(source: str, target: str) -> Column:
        popularity = F.pow(F.col(f"n_{source}").cast("double"), F.lit(float(of_source))) * F.pow(
            F.col(f"n_{target}").cast("double"), F.lit(float(of_target))
        )
        score = F.col("total") / F.lit(float(_SCALE)) / popularity
        ends = (F.col(f"id_{source}").alias("item_id"), F.col(f"id_{target}").alias("neighbor_id"))
        return F.struct(*ends, score.alias("score"), F.col("support").alias("support"))

    return known.select(F.explode(F.array(direction("i", "j"), direction("j", "i"))).alias("row")).select("row.*")


def _largest(index: DataFrame) -> int:
    return int(index.agg(F.coalesce(F.max("idx"), F.lit(0))).collect()[0][0])
