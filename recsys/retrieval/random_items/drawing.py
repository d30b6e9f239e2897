"""Random permutations that need no random numbers: the same in numpy and in Spark.

The n items stand at places 0 to n - 1, in the order of a hash. A user walks the places start + i * step modulo a prime
p >= n, for i = 0, 1, ..., and passes over those that no item has; start and step are hashes of the user. p - n is
small, so a list of k items takes little more than k steps. Any place is as likely as any other at each step, and so is
any pair of places at two steps (Carter & Wegman, Universal Classes of Hash Functions, JCSS 18, 1979).
"""

from __future__ import annotations

from datetime import datetime
from math import isqrt

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

_BITS = 63
_BUCKET_BITS = 10


def prime_from(n: int) -> int:
    """Return the smallest prime that is at least `n` and at least 2.

    >>> [prime_from(n) for n in (0, 3, 8, 1000)]
    [2, 3, 11, 1009]
    """
    found = max(2, n)
    while any(found % divisor == 0 for divisor in range(2, isqrt(found) + 1)):
        found += 1
    return found


def hashed(*parts: str | int | Column) -> Column:
    """Hash texts, numbers and columns to 63 bits."""
    whole = F.xxhash64(*(part if isinstance(part, Column) else F.lit(part) for part in parts))
    return F.shiftrightunsigned(whole, 64 - _BITS)


def keyed(items: DataFrame, *, seed: int, as_of: datetime) -> DataFrame:
    """Return `item_id, key`: another order for each seed and each instant."""
    at = int(as_of.timestamp() * 1_000_000)
    return items.select("item_id", hashed(seed, at, F.col("item_id")).alias("key"))


def walkers(users: DataFrame, *, seed: int) -> DataFrame:
    """Return `user_id, start, step`: two hashes of each user."""
    named = {name: hashed(seed, name, F.col("user_id")) for name in ("start", "step")}
    return users.select("user_id", *(found.alias(name) for name, found in named.items()))


def walk(items: DataFrame, users: DataFrame, *, k: int, exclude: DataFrame | None) -> DataFrame:
    """Return `user_id, item_id, rank, score`: the first `k` items on each user's walk that are not excluded.

    Parameters
    ----------
    items : DataFrame
        `item_id` (unique), `key`. They are counted when this is called.
    users : DataFrame
        `user_id, start, step`.
    exclude : DataFrame, optional
        `user_id, item_id`.
    """
    n = items.count()
    prime = prime_from(n)
    least = F.lit(k + prime - n)
    if exclude is None:
        wanted = users.withColumn("steps", least)
    else:
        excluded = exclude.groupBy("user_id").agg(F.count("*").alias("excluded"))
        joined = users.join(excluded, on="user_id", how="left")
        wanted = joined.withColumn("steps", least + F.coalesce("excluded", F.lit(0)))
    # All that a walk could pass over, and k items more.
    steps = F.sequence(F.lit(0).cast("bigint"), F.least(F.col("steps"), F.lit(prime)) - 1)
    walked = wanted.select("user_id", "start", "step", F.explode(steps).alias("i"))
    place = (F.col("start") % prime + F.col("i") * (1 + F.col("step") % (prime - 1))) % prime
    rows = walked.select("user_id", "i", place.alias("place")).join(_placed(items), on="place", how="inner")
    if exclude is not None:
        rows = rows.join(exclude, on=["user_id", "item_id"], how="left_anti")
    order = W.Window.partitionBy("user_id").orderBy("i")
    ranked = rows.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= k)
    score = F.lit(1.0) - F.col("i") / F.lit(float(prime))
    return ranked.select("user_id", "item_id", "rank", score.alias("score"))


def _placed(items: DataFrame) -> DataFrame:
    """`item_id, place`: numbered from 0 by key, ties by id, within 1,024 buckets that come one after the other."""
    dealt = items.select("item_id", "key", F.shiftright("key", _BITS - _BUCKET_BITS).alias("bucket"))
    earlier = W.Window.partitionBy(F.lit(0)).orderBy("bucket").rowsBetween(W.Window.unboundedPreceding, -1)
    counts = dealt.groupBy("bucket").agg(F.count("*").alias("n"))
    offsets = counts.select("bucket", F.coalesce(F.sum("n").over(earlier), F.lit(0)).alias("offset"))
    within = W.Window.partitionBy("bucket").orderBy("key", "item_id")
    numbered = dealt.withColumn("at", F.row_number().over(within) - 1)
    placed = numbered.join(F.broadcast(offsets), on="bucket", how="inner")
    return placed.select("item_id", (F.col("offset") + F.col("at")).alias("place"))
