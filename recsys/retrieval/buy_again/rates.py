"""Gamma-Poisson rates of repurchase, in Spark.

A user buys an item again at a rate of their own, drawn from a Gamma distribution whose mean is the item's; with k
repeats in t days the expected rate is (shape + k) / (shape / mean + t) (as in Bhagat et al., Buy It Again: Modeling
Repeat Purchase Recommendations, KDD 2018). An item's mean is shrunk in the same way towards that of all items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.frames import first_k

DAY = 86_400_000_000
_LEAST_RATE = 1e-9


@dataclass(frozen=True)
class Totals:
    """What a log says of repeats in all.

    Attributes
    ----------
    pairs : int
        Users and items, where the user bought the item.
    repeats : int
        Days on which somebody bought something again.
    days : float
        Days since the first purchase, summed over the pairs.
    """

    pairs: int
    repeats: int
    days: float

    @property
    def share(self) -> float:
        """Share of the purchases (a user, an item, a day) that are repeats; 0 without any."""
        return self.repeats / max(1, self.pairs + self.repeats)

    @property
    def rate(self) -> float:
        """Repeats per pair and day."""
        return max(self.repeats / max(self.days, 1.0), _LEAST_RATE)


def bought(events: DataFrame, *, as_of: datetime, types: Sequence[str], window_days: int | None) -> DataFrame:
    """Return `user_id, item_id, k, first, last, age`: each pair with its repeats; times in microseconds.

    k counts the days after the first one on which the user bought the item, so two lines of one order are no repeat;
    `age` is the time from the first purchase to `as_of`.
    """
    counts = F.col("event_type").isin(list(types)) & ~F.col("is_bot") & (F.col("event_time") < F.lit(as_of))
    if window_days is not None:
        counts &= F.col("event_time") >= F.lit(as_of - timedelta(days=window_days))
    at = F.unix_micros("event_time")
    days = events.where(counts).groupBy("user_id", "item_id", F.floor(at / DAY).alias("day"))
    by_day = days.agg(F.min(at).alias("first"), F.max(at).alias("last"))
    first = F.min("first").alias("first")
    pairs = by_day.groupBy("user_id", "item_id").agg((F.count("*") - 1).alias("k"), first, F.max("last").alias("last"))
    return pairs.withColumn("age", F.unix_micros(F.lit(as_of)) - F.col("first"))


def totals(pairs: DataFrame) -> Totals:
    """Add up what `bought` returns: one row comes to the driver."""
    row = pairs.agg(F.count("*").alias("n"), F.sum("k").alias("k"), _days("age").alias("days")).collect()[0]
    return Totals(int(row["n"]), int(row["k"] or 0), float(row["days"] or 0.0))


def item_rates(pairs: DataFrame, known: Totals, *, prior_buyers: float) -> DataFrame:
    """Return `item_id, buyers, repeats, rate`; the rate as if `prior_buyers` more had bought at that of all items."""
    own = pairs.groupBy("item_id").agg(
        F.count("*").alias("buyers"), F.sum("k").alias("repeats"), _days("age").alias("t")
    )
    prior = prior_buyers * known.days / max(1, known.pairs)
    rate = (F.col("repeats") + F.lit(prior * known.rate)) / (F.col("t") + F.lit(prior))
    safe = F.greatest(F.coalesce(rate, F.lit(known.rate)), F.lit(_LEAST_RATE))
    return own.select("item_id", "buyers", "repeats", safe.alias("rate"))


def repurchases(pairs: DataFrame, rates: DataFrame, *, as_of: datetime, shape: float, keep: int) -> DataFrame:
    """Return `user_id, rank, item_id, score, days_bought, cycle_days`: the `keep` likeliest items of each user.

    The score is the expected rate per day, times e^-(x - 1) where x, the time since the last purchase over the expected
    cycle, is above 1: what is long overdue is likely given up.
    """
    k, days = F.col("k"), F.col("age") / F.lit(float(DAY))
    expected = (F.lit(shape) + k) / (F.lit(shape) / F.col("rate") + days)
    since = (F.unix_micros(F.lit(as_of)) - F.col("last")) / F.lit(float(DAY))
    overdue = F.greatest(since * expected - 1, F.lit(0.0))
    cycle = F.when(k > 0, (F.col("last") - F.col("first")) / F.lit(float(DAY)) / k)
    scored = pairs.join(rates.select("item_id", "rate"), on="item_id", how="inner").select(
        "user_id",
        "item_id",
        (expected * F.exp(-overdue)).alias("score"),
        (k + 1).alias("days_bought"),
        cycle.alias("cycle_days"),
    )
    return first_k(scored, keep).select("user_id", "rank", "item_id", "score", "days_bought", "cycle_days")


def _days(micros: str) -> Column:
    """Sum times as integers, in days."""
    return F.sum(F.col(micros).cast("decimal(38,0)")).cast("double") / F.lit(float(DAY))
