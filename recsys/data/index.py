"""Dense integers for public ids: stable, append-only, from 1, made without a map on the driver.

Two passes in the manner of a distributed `zipWithIndex`, but ordered by a hash of the id instead of by whatever
partition a row happens to lie in: ids are dealt to 1,024 buckets, the buckets are counted, and an id's number is what
is already given out + what the earlier buckets hold + its place by id within its own bucket.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.data import ANONYMOUS_PREFIX

BUCKETS = 1024


def known_ids(
    entity: str,
    *,
    as_of: datetime,
    events: DataFrame,
    impressions: DataFrame | None = None,
    states: DataFrame | None = None,
    include_anonymous: bool = False,
) -> DataFrame:
    """Return the distinct ids of an entity that were known strictly before an instant.

    Parameters
    ----------
    entity : {"user", "item"}
        Whose ids.
    events, impressions : DataFrame
        Rows flagged as a robot's bring no id: a number costs a row in every embedding table.
    states : DataFrame, optional
        Catalog or profiles with `valid_from`.
    include_anonymous : bool
        Whether visitors known by a session only get a number too. They are 0 (unknown) otherwise.

    Returns
    -------
    DataFrame
        One column, `user_id` or `item_id`.
    """
    column = f"{entity}_id"
    bound = F.lit(as_of)
    found = events.where(~F.col("is_bot") & (F.col("event_time") < bound)).select(column)
    if impressions is not None:
        shown = impressions.where(~F.col("is_bot") & (F.col("shown_at") < bound))
        found = found.unionByName(shown.select(column))
    if states is not None:
        found = found.unionByName(states.where(F.col("valid_from") < bound).select(column))
    if entity == "user" and not include_anonymous:
        found = found.where(~F.col(column).startswith(ANONYMOUS_PREFIX))
    return found.where(F.col(column).isNotNull()).distinct()


def new_rows(entity: str, ids: DataFrame, existing: DataFrame, *, as_of: datetime) -> DataFrame:
    """Number the ids that the index lacks; what it holds is never renumbered.

    Parameters
    ----------
    ids : DataFrame
        Distinct ids, in any order and partitioning.
    existing : DataFrame
        The index so far: the id and `idx`.

    Returns
    -------
    DataFrame
        `<entity>_id, idx, created_as_of`: rows to insert, dense after the largest `idx` of `existing`.
    """
    column = f"{entity}_id"
    missing = ids.join(existing.select(column), on=column, how="left_anti").select(
        column, _bucket(column).alias("bucket")
    )
    within = W.Window.partitionBy("bucket").orderBy(column)
    return (
        missing.select(column, "bucket", F.row_number().over(within).alias("place"))
        .join(F.broadcast(_offsets(missing, existing)), on="bucket", how="inner")
        .select(
            column,
            (F.col("offset") + F.col("place")).cast("int").alias("idx"),
            F.lit(as_of).cast("timestamp").alias("created_as_of"),
        )
    )


def _bucket(column: str) -> Column:
    return F.pmod(F.xxhash64(column), F.lit(BUCKETS)).cast("int")


def _offsets(missing: DataFrame, existing: DataFrame) -> DataFrame:
    """How many numbers come before each bucket: at most 1,024 rows, so that one partition may order them."""
    taken = existing.select(F.lit(-1).alias("bucket"), F.col("idx").cast("bigint").alias("taken"), F.lit(0).alias("n"))
    found = missing.select("bucket", F.lit(None).cast("bigint").alias("taken"), F.lit(1).alias("n"))
    counts = taken.unionByName(found).groupBy("bucket").agg(F.max("taken").alias("taken"), F.sum("n").alias("n"))
    # The bucket -1, which comes first, stands for the numbers that are given out already.
    earlier = W.Window.partitionBy(F.lit(0)).orderBy("bucket").rowsBetween(W.Window.unboundedPreceding, -1)
    given_out = F.coalesce(F.sum(F.col("n") + F.coalesce("taken", F.lit(0))).over(earlier), F.lit(0))
    return counts.select("bucket", given_out.alias("offset"))
