"""Which labeled examples are kept, and which split each belongs to. Decided by hashes and times, never by chance."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import AS_OF_KEY, Table, stamp

_BUCKETS: Final = 1_000_000


def sampled(pairs: DataFrame, *, rate: float) -> DataFrame:
    """Keep every positive, and negatives at a rate by a hash of list and item; add `sample_rate`."""
    positive = F.col("label") == 1
    return pairs.where(positive | (_uniform("list_id", "item_id", salt="negative") < rate)).withColumn(
        "sample_rate", F.when(positive, F.lit(1.0)).otherwise(F.lit(rate))
    )


def split_by_time(pairs: DataFrame, *, valid_share: float, test_share: float) -> DataFrame:
    """Add `split` by time: the latest share of the examples is for test, the share before that for validation.

    A session (or a list without one) lies in one split: the minute of its first example decides.
    """
    whole = F.coalesce("session_id", "list_id")
    minute = F.floor(F.unix_seconds("example_time") / 60).cast("bigint")
    starts = pairs.groupBy(whole.alias("_whole")).agg(F.min(minute).alias("_start"), F.count(F.lit(1)).alias("_rows"))
    # Exact quantiles over minutes: however many lists there are, the window bounds the number of minutes.
    shares = F.array(F.lit(max(0.0, 1 - valid_share - test_share)), F.lit(1 - test_share))
    bounds = starts.agg(F.percentile("_start", shares, F.col("_rows")).alias("_bounds"))
    split = (
        F.when(F.col("_start") <= F.col("_bounds")[0], "train")
        .when(F.col("_start") <= F.col("_bounds")[1], "valid")
        .otherwise("test")
    )
    placed = starts.join(F.broadcast(bounds), on=F.lit(True), how="inner").select("_whole", split.alias("split"))
    return pairs.withColumn("_whole", whole).join(placed, on="_whole", how="inner").drop("_whole")


def split_by_user(pairs: DataFrame, *, valid_share: float, test_share: float) -> DataFrame:
    """Add `split` by a hash of the user: for candidates of one instant, which no time sets apart."""
    drawn = _uniform("user_id", salt="split")
    split = F.when(drawn < test_share, "test").when(drawn < test_share + valid_share, "valid").otherwise("train")
    return pairs.withColumn("split", split)


def example_rows(features: DataFrame, *, as_of: datetime, table: Table) -> DataFrame:
    """Return rows of `ctr_examples` (`recsys.data.ctr_examples`) from sampled, split examples with features."""
    which = {"as_of": F.lit(as_of), AS_OF_KEY.name: F.lit(stamp(as_of))}
    return features.withColumns(which).select(*table.column_names)


def _uniform(*columns: str, salt: str) -> Column:
    """Return a number in [0, 1) that depends on the columns alone."""
    return F.pmod(F.xxhash64(F.lit(salt), *columns), F.lit(_BUCKETS)) / F.lit(float(_BUCKETS))
