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
    least : int
        Fewest baskets of a set.
    filled : int
        Baskets with an item that is frequent enough.
    entries, cut : int
        Such items of all baskets, and how many of them lie beyond the cap and are left out.
    """

    baskets: int
    least: int
    filled: int
    entries: int
    cut: int


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


def measured(touched: DataFrame, *, min_support: float, most: int) -> Baskets:
    """Count baskets and what goes into them; two rows come to the driver.

    Parameters
    ----------
    touched : DataFrame
        Distinct `basket, item_id`; read twice, and kept for that time.
    min_support : float
        Least support of a rule: a share of all baskets, or from 1 on their number. A rule needs two baskets at least.
    most : int
        Items per basket that are counted.
    """
    with persisted(touched) as held:
        n = held.select("basket").distinct().count()
        least = max(_LEAST, ceil(round(min_support if min_support >= 1 else min_support * n, 9)))
        place = F.col("place")
        row = _frequent(held, least).agg(F.count("*"), F.count_if(place == 1), F.count_if(place > most)).collect()[0]
    return Baskets(n, least, filled=int(row[1]), entries=int(row[0]), cut=int(row[2]))


def rules(touched: DataFrame, known: Baskets, *, min_confidence: float, most: int, keep: int) -> DataFrame:
    """Mine the rules of baskets: the columns of `association_rules`. The baskets are read at once, and again later.

    Parameters
    ----------
    touched : DataFrame
        Distinct `basket, item_id`.
    known : Baskets
        As `measured` counts them; at least one is filled.
    min_confidence : float
        Least confidence of a rule. Rules whose lift is not above 1 are left out too.
    most : int
        Items per basket; a hash of basket and item decides which ones stay. Sets of k items have 2^k parts, all of
        which are counted where they are frequent.
    keep : int
        Rules kept per item that they start from.
    """
    lists = _frequent(touched, known.least).where(F.col("place") <= most).groupBy("basket")
    items = lists.agg(F.array_sort(F.collect_list("item_id")).alias("items")).select("items")
    # MLlib rounds the share of the baskets that it sees up to a number of baskets.
    share = (known.least - 0.5) / known.filled
    sets = FPGrowth(itemsCol="items", minSupport=share).fit(items).freqItemsets
    return _rules_of(sets, known.baskets, min_confidence, keep)


def _frequent(touched: DataFrame, least: int) -> DataFrame:
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
