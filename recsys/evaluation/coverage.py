"""How much of the catalog the lists show."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def coverage(lists: DataFrame, *, population: DataFrame, facts: DataFrame, ks: Sequence[int]) -> DataFrame:
    """Share of the catalog that stands in at least one judged user's list, per stage and cut-off.

    It grows with the number of users and is comparable only within a run; it has no interval. `n` counts the catalog.

    Returns
    -------
    DataFrame
        The columns of `figures`.
    """
    best = (
        lists.join(population.select("user_id"), on="user_id", how="left_semi")
        .groupBy("stage", "item_id")
        .agg(F.min("rank").alias("best"))
        .join(facts.where("in_catalog").select("item_id"), on="item_id", how="left_semi")
    )
    counted = best.groupBy("stage").agg(*(F.count_if(F.col("best") <= k).alias(f"at_{k}") for k in sorted(set(ks))))
    size = facts.agg(F.count_if("in_catalog").alias("n"))
    at = F.explode(F.array(*(F.struct(F.lit(k).alias("k"), F.col(f"at_{k}").alias("items")) for k in sorted(set(ks)))))
    nothing = F.lit(None).cast("double")
    return (
        counted.select("stage", at.alias("at"))
        .crossJoin(F.broadcast(size))
        .select(
            "stage",
            F.lit("all").alias("slice"),
            F.lit("coverage").alias("metric"),
            "at.k",
            (F.col("at.items") / F.col("n")).alias("value"),
            nothing.alias("ci_low"),
            nothing.alias("ci_high"),
            "n",
        )
    )
