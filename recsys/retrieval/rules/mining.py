"""Frequent sets of items in baskets, and the rules that follow from them, in Spark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from pyspark.ml.fpm import FPGrowth
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.frames import persisted

Basket = Literal["session", "day", "user"]

_DAY = 86_400_000_000
_LARGEST_SET = 3
_LEAST = 2
"""Fewest baskets of a rule: what happened once is no rule."""


@dataclass(frozen=True)
class Baskets:
    """What went into the baskets.

    Attributes
    ----------
    baskets : int
        All of them, also those with a single item.
    entries, cut : int
        Items of baskets that are frequent enough, and how many of them lie beyond the cap and were left out.
    least : int
        Fewest baskets of a set.
    """

    baskets: int
    entries: int
    cut: int
    least: int


def touches(
    events: DataFrame, *, as_of: datetime, counts: Column, basket: Basket, window_days: int | None
) -> DataFrame:
    """Return the distinct `basket, item_id` of the events that count, strictly before an instant, robots left out.

    Parameters
    ----------
    events : DataFrame
        `user_id, item_id, event_time, is_bot, session_id` and what `counts` reads.
    counts : Column
        Whether an event puts its item into a basket.
    basket : {"session", "day", "user"}
        What one basket is; an event without a session goes to the basket of the user's day.
    """
    kept = counts & ~F.col("is_bot") & (F.col("event_time") < F.lit(as_of))
    if window_days is not None:
        kept &= F.col("event_time") >= F.lit(as_of - timedelta(days=window_days))
    day = F.floor(F.unix_micros("event_time") / _DAY).cast("string")
    session = F.col("session_id") if "session_id" in events.columns else F.lit(None).cast("string")
    of_day = F.struct("user_id", F.lit("day").alias("of"), day.alias("which"))
    key = {
        "user": F.struct("user_id", F.lit("user").alias("of"), F.lit("").alias("which")),
        "day": of_day,
        "session": F.when(session.isNull(), of_day).otherwise(
            F.struct("user_id", F.lit("session").alias("of"), session.alias("which"))
        ),
    }[basket]
    return events.where(kept & F.col("item_id").isNotNull()).select(key.alias("basket"), "item_id").distinct()


def rules(
    touched: DataFrame, *, min_support: float, min_confidence: float, most: int, keep: int
) -> tuple[DataFrame, Baskets]:
    """Mine the rules of baskets, and say what went into them. The baskets are read while this runs, and again later.

    Parameters
    ----------
    touched : DataFrame
        Distinct `basket, item_id`.
    min_support : float
        Least support of a rule: a share of all baskets, or from 1 on their number. A rule needs two baskets at least.
    min_confidence : float
        Least confidence of a rule. Rules whose lift is not above 1 are left out too.
    most : int
        Items per basket; a hash of basket and item decides which ones stay. Sets of k items have 2^k parts, all of
        which are counted where they are frequent.
    keep : int
        Rules kept per item that they start from.
    """
    with persisted(touched) as held:
        n = held.select("basket").distinct().count()
        least = max(_LEAST, ceil(round(min_support if min_support >= 1 else min_support * n, 9)))
        facts = _capped(held, least).agg(F.count("*"), F.count_if(F.col("place") > most)).collect()[0]
    lists = _capped(touched, least).where(F.col("place") <= most).groupBy("basket")
    items = lists.agg(F.array_sort(F.collect_list("item_id")).alias("items")).select("items")
    known = Baskets(n, int(facts[0]), int(facts[1]), least)
    if not known.entries:
        return _rules_of(items.select("items", F.lit(1).cast("bigint").alias("freq")), n, min_confidence, keep), known
    # MLlib rounds the share of the baskets that it sees up to a number of baskets.
    share = (least - 0.5) / items.count()
    sets = FPGrowth(itemsCol="items", minSupport=min(share, 1.0)).fit(items).freqItemsets
    return _rules_of(sets, n, min_confidence, keep), known


def _capped(touched: DataFrame, least: int) -> DataFrame:
    """`basket, item_id, place`: frequent items, numbered within each basket by a hash."""
    frequent = touched.groupBy("item_id").agg(F.count("*").alias("n")).where(F.col("n") >= least)
    order = W.Window.partitionBy("basket").orderBy(F.xxhash64("basket", "item_id"), "item_id")
    return touched.join(frequent.select("item_id"), on="item_id", how="left_semi").withColumn(
        "place", F.row_number().over(order)
    )


def _rules_of(sets: DataFrame, baskets: int, min_confidence: float, keep: int) -> DataFrame:
    """Rules from sets with their counts: each set is told to those that are smaller by one item, in one shuffle.

    Parameters
    ----------
    sets : DataFrame
        `items, freq`: frequent sets, each once, with all their parts.
    """
    small = sets.where(F.size("items") <= _LARGEST_SET).select(F.array_sort("items").alias("items"), "freq")
    own = small.select(F.col("items").alias("of"), F.lit(None).cast("string").alias("consequent_id"), "freq")
    larger = small.where(F.size("items") > 1).select("items", "freq", F.explode("items").alias("consequent_id"))
    told = larger.select(F.array_remove("items", F.col("consequent_id")).alias("of"), "consequent_id", "freq")
    alone = F.col("consequent_id").isNull()
    of_set = W.Window.partitionBy("of")
    rows = own.unionByName(told).withColumn("whole", F.max(F.when(alone, F.col("freq"))).over(of_set))
    # A set of one item says how often it is a consequent by chance.
    rows = rows.where(~alone | (F.size("of") == 1)).withColumn("to", F.coalesce("consequent_id", F.get("of", F.lit(0))))
    chance = F.max(F.when(alone, F.col("freq"))).over(W.Window.partitionBy("to"))
    confidence = F.col("freq") / F.col("whole")
    found = (
        rows.withColumn("chance", chance)
        .where(~alone)
        .select(
            F.get("of", F.lit(0)).alias("antecedent_id"),
            F.get("of", F.lit(1)).alias("antecedent_2_id"),
            "consequent_id",
            (F.col("freq") / F.lit(float(max(1, baskets)))).alias("support"),
            confidence.alias("confidence"),
            (confidence * F.lit(float(baskets)) / F.col("chance")).alias("lift"),
            F.col("freq").alias("n"),
        )
    )
    better = F.col("confidence") * F.col("lift")
    order = W.Window.partitionBy("antecedent_id").orderBy(
        better.desc(), F.col("n").desc(), "consequent_id", F.col("antecedent_2_id").asc_nulls_first()
    )
    kept = found.where((F.col("confidence") >= F.lit(float(min_confidence))) & (F.col("lift") > 1))
    return kept.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= keep)
