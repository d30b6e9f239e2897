"""User-item pairs: what features are computed for, before they have any."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def candidate_pairs(candidates: DataFrame, *, keep: tuple[str, ...] = ()) -> DataFrame:
    """Turn candidates into pairs at the instant that they were proposed for.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `recsys.data.CANDIDATES`; their `as_of` becomes the exclusive instant of each pair.
    keep : tuple of str
        Further columns of `candidates` to carry along.

    Returns
    -------
    DataFrame
        The pairs that `example_features` takes; a list is a user's candidates.
    """
    list_id = F.concat(F.date_format("as_of", "yyyyMMdd'T'HHmmss.SSSSSS'Z:'"), "user_id")
    return candidates.select(
        example_id(list_id, F.col("user_id"), F.col("item_id")).alias("example_id"),
        "user_id",
        "item_id",
        list_id.alias("list_id"),
        F.lit(None).cast("string").alias("session_id"),
        F.lit(None).cast("int").alias("session_step"),
        F.col("as_of").alias("example_time"),
        F.lit(None).cast("int").alias("position"),
        F.lit(None).cast("double").alias("price"),
        F.lit(None).cast("string").alias("device"),
        F.lit(None).cast("string").alias("country"),
        "ranks",
        F.col("rank").alias("candidate_rank"),
        F.col("score").alias("candidate_score"),
        F.lit(None).cast("map<string,string>").alias("attributes"),
        *keep,
    )


def shown_pairs(impressions: DataFrame, *, keep: tuple[str, ...] = ()) -> DataFrame:
    """Turn shown items into pairs at the instant that their list was shown.

    Parameters
    ----------
    impressions : DataFrame
        Rows of `recsys.data.IMPRESSIONS`.
    keep : tuple of str
        Further columns of `impressions` to carry along.

    Returns
    -------
    DataFrame
        The pairs that `example_features` takes; a list is what was shown together.
    """
    return impressions.select(
        example_id(F.col("list_id"), F.col("user_id"), F.col("item_id")).alias("example_id"),
        "user_id",
        "item_id",
        "list_id",
        "session_id",
        "session_step",
        F.col("shown_at").alias("example_time"),
        "position",
        "price",
        "device",
        "country",
        F.lit(None).cast("map<string,int>").alias("ranks"),
        F.lit(None).cast("int").alias("candidate_rank"),
        F.lit(None).cast("double").alias("candidate_score"),
        "attributes",
        *keep,
    )


def example_id(list_id: Column, user_id: Column, item_id: Column) -> Column:
    """Return the key of an example: a hash of its list, user and item."""
    return F.md5(F.to_json(F.array(list_id, user_id, item_id)))
