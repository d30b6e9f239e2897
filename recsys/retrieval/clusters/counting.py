"""Clusters of profiles, and what is popular in each, in Spark."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.errors import ConfigError
from recsys.retrieval.popularity.counting import OVERALL, largest, touched_items, window_of
from recsys.retrieval.popularity.scores import SCALE, Scoring
from recsys.retrieval.training import TrainingData

_DECADE = 10


def cluster_members(profiles: DataFrame, *, by: Sequence[str], min_users: int) -> DataFrame:
    """Return `user_id, cluster`: users with one profile, in clusters of at least `min_users`.

    Parameters
    ----------
    profiles : DataFrame
        One row per user: `user_id` and more.
    by : sequence of str
        Columns, or keys of the map `attributes`; of `birth_year` the decade counts. Users who lack all of them are in
        no cluster.

    Raises
    ------
    ConfigError
        If a name is no column, and there are no attributes.
    """
    values = [_value(profiles, name) for name in by]
    named = F.concat_ws(", ", *(F.concat(F.lit(f"{name} "), value) for name, value in zip(by, values, strict=True)))
    users = profiles.select("user_id", named.alias("cluster")).where(F.col("cluster") != OVERALL)
    sizes = users.groupBy("cluster").agg(F.count("*").alias("n")).where(F.col("n") >= min_users)
    return users.join(sizes.select("cluster"), on="cluster", how="inner").select("user_id", "cluster")


def _value(profiles: DataFrame, name: str) -> Column:
    """The value of a user as a text; null where there is none."""
    if name in profiles.columns:
        value = F.col(name)
        value = F.floor(value / _DECADE) * _DECADE if name == "birth_year" else value
    elif "attributes" in profiles.columns:
        value = F.col("attributes")[name]
    else:
        raise ConfigError(f"profiles have no column {name} and no attributes; they have {', '.join(profiles.columns)}")
    text = F.trim(value.cast("string"))
    return F.when(text != "", text)


def cluster_lists(
    data: TrainingData, members: DataFrame, *, scoring: Scoring, window_days: int, prior: float, keep: int
) -> DataFrame:
    """Return `cluster, rank, item_id, score`: the items of each cluster, and of everybody under ''.

    The score is (n_ci + prior x n_i / N) / (N_c + prior), with n_ci the weighted users of a cluster who touched an
    item, N_c their sum, and n_i and N those of everybody: what a Dirichlet prior around everybody's shares gives
    (Zhai, Lafferty, SIGIR 2001). What nobody in the cluster touched keeps everybody's order, so the first `keep` of it
    are enough for exact lists.
    """
    touched = touched_items(data.log.events, data.as_of, data.signal, window_days, scoring)
    touched = touched.withColumn("cluster", F.lit(OVERALL))
    width = window_of(touched.withColumnRenamed("cluster", "segment"), keep).select("width")
    inside = touched.crossJoin(F.broadcast(width)).where("level <= width")
    counted = inside.groupBy("user_id", "item_id").agg(*largest(scoring))
    overall = counted.groupBy("item_id").agg(F.sum("units").alias("all_units"))
    total = F.broadcast(overall.agg(F.sum("all_units").alias("total")))
    shares = overall.crossJoin(total).select("item_id", (F.col("all_units") / F.col("total")).alias("score"))
    everybody = _first(shares.withColumn("cluster", F.lit(OVERALL)), keep)
    own = counted.join(members, on="user_id", how="inner").groupBy("cluster", "item_id")
    rows = own.agg(F.sum("units").alias("units"))
    names = members.select("cluster").distinct()
    others = names.crossJoin(F.broadcast(everybody.select("item_id"))).withColumn("units", F.lit(0).cast("bigint"))
    merged = rows.unionByName(others).groupBy("cluster", "item_id").agg(F.sum("units").alias("units"))
    sizes = merged.groupBy("cluster").agg(F.sum("units").alias("size"))
    start = F.lit(float(prior) * SCALE)
    shrunk = (F.col("units") + start * F.col("score")) / (F.col("size") + start)
    scored = (
        merged.join(sizes, on="cluster", how="inner")
        .join(shares, on="item_id", how="inner")
        .select("cluster", "item_id", shrunk.alias("score"))
    )
    return everybody.unionByName(_first(scored, keep))


def _first(scored: DataFrame, keep: int) -> DataFrame:
    order = W.Window.partitionBy("cluster").orderBy(F.col("score").desc(), "item_id")
    ranked = scored.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= keep)
    return ranked.select("cluster", "rank", "item_id", "score")
