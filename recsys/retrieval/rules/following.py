"""Rules that apply to users, found by joins: for any number of items."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def applied(latest: DataFrame, rules: DataFrame) -> DataFrame:
    """Return `user_id, item_id, score, because_item_id`: the best rule that leads to each item.

    A rule applies if the user's recent items hold all that it starts from. Its score is confidence x lift. Of equals
    the one with the latest item counts, and of two items that a rule starts from, the later one is the cause.

    Parameters
    ----------
    latest : DataFrame
        `user_id, item_id, place`: the users' recent items.
    rules : DataFrame
        `antecedent_id, antecedent_2_id, consequent_id, confidence, lift`.
    """
    scored = rules.select(
        F.col("antecedent_id").alias("item_id"),
        "antecedent_2_id",
        "consequent_id",
        (F.col("confidence") * F.col("lift")).alias("score"),
    )
    mine = latest.select("user_id", "item_id", F.col("place").cast("bigint").alias("place"))
    first = mine.join(scored, on="item_id", how="inner")
    alone = first.where("antecedent_2_id IS NULL").select("user_id", "consequent_id", "score", "place", "item_id")
    second = mine.select("user_id", F.col("item_id").alias("antecedent_2_id"), F.col("place").alias("place_2"))
    both = first.join(second, on=["user_id", "antecedent_2_id"], how="inner")
    later = F.least(
        F.struct("place", "item_id"),
        F.struct(F.col("place_2").alias("place"), F.col("antecedent_2_id").alias("item_id")),
    )
    together = both.select("user_id", "consequent_id", "score", later.alias("from"))
    pairs = together.select("user_id", "consequent_id", "score", "from.place", "from.item_id")
    return (
        alone.unionByName(pairs)
        .groupBy("user_id", F.col("consequent_id").alias("item_id"))
        .agg(
            F.max("score").alias("score"),
            F.max_by(F.col("item_id"), F.struct("score", -F.col("place"))).alias("because_item_id"),
        )
    )
