"""What MLlib's factorization is fed and how it is called: a fixed order, one shuffle, clear errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.errors import ConfigError
from recsys.retrieval.als.sizing import Fit, Size

if TYPE_CHECKING:
    from pyspark.ml.recommendation import ALSModel

_CHECKPOINT_INTERVAL = 10
_SCALE = 100_000.0
"""Weights are summed as integers of this fraction, so that no sum depends on the order of its terms."""
_LARGEST_WEIGHT = 1e4
"""Largest weight of a pair in the mean: one outlier must neither decide it nor overflow the sum."""
_SINGULAR = ("SingularMatrixException", "is not positive definite")


def enough_users(pairs: DataFrame, *, least: int) -> DataFrame:
    """Return `item_idx, n` of the items with at least `least` pairs."""
    return pairs.groupBy("item_idx").agg(F.count("*").alias("n")).where(F.col("n") >= least)


def interactions_of(items: DataFrame) -> int:
    """Count the interactions of counted items."""
    return int(items.agg(F.coalesce(F.sum("n"), F.lit(0))).collect()[0][0])


def ordered(pairs: DataFrame, *, blocks: int, least: int) -> DataFrame:
    """Return the pairs of users with at least `least` of them, by user and item, in `blocks` partitions by user.

    Beside `user_idx, item_idx, weight` stands `first`, true on one row of each user.
    """
    users = W.Window.partitionBy("user_idx")
    counted = pairs.repartition(blocks, "user_idx").select(
        "user_idx",
        "item_idx",
        "weight",
        # Both windows and the order of rows come out of one sort.
        (F.row_number().over(users.orderBy("item_idx")) == 1).alias("first"),
        F.count("*").over(users).alias("n"),
    )
    return counted.where(F.col("n") >= least).drop("n").sortWithinPartitions("user_idx", "item_idx")


def measured(ready: DataFrame) -> Size:
    """Count users, items and interactions, and add up their weights exactly."""
    row = ready.agg(
        F.count_if("first").alias("users"),
        F.count_distinct("item_idx").alias("items"),
        F.count("*").alias("interactions"),
        F.sum((F.least("weight", F.lit(_LARGEST_WEIGHT)) * _SCALE).cast("bigint")).alias("units"),
    ).collect()[0]
    return Size(row["users"], row["items"], row["interactions"], (row["units"] or 0) / _SCALE)


def factorized(ready: DataFrame, fit: Fit, *, implicit: bool, blocks: int, seed: int, key: str) -> ALSModel:
    """Fit MLlib's ALS.

    Parameters
    ----------
    ready : DataFrame
        What `ordered` returns.
    key : str
        Name of the retriever, for errors.

    Raises
    ------
    ConfigError
        If its equations can't be solved with these settings.
    """
    # Loaded here: MLlib takes a while, and most who name a retriever do not fit it.
    from pyspark.ml.recommendation import ALS

    estimator = ALS(
        rank=fit.rank,
        maxIter=fit.iterations,
        regParam=fit.reg,
        alpha=fit.alpha,
        implicitPrefs=implicit,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        seed=seed,
        userCol="user_idx",
        itemCol="item_idx",
        ratingCol="weight",
        coldStartStrategy="nan",
        checkpointInterval=_CHECKPOINT_INTERVAL,
    )
    try:
        return estimator.fit(ready)
    except Exception as error:
        if any(mark in f"{error}{getattr(error, 'java_exception', '')}" for mark in _SINGULAR):
            raise ConfigError(_unsolvable(ready, fit, key)) from error
        raise


def rmse(predicted: DataFrame) -> float:
    """Root mean square error of `prediction` against `weight`."""
    error = F.col("prediction") - F.col("weight")
    # Rounded: the sum's last bits depend on the order in which partitions arrive.
    value = predicted.agg(F.sqrt(F.avg(error * error))).collect()[0][0]
    return round(float(value), 6)


def _unsolvable(ready: DataFrame, fit: Fit, key: str) -> str:
    """Say why the equations have no single solution, and what to change."""
    weight = F.abs("weight")
    most, middle = ready.agg(F.max(weight), F.percentile_approx(weight, 0.5)).collect()[0]
    found = f"{key} can't be fitted: its equations have no single solution with reg {fit.reg:g} and rank {fit.rank}"
    if middle and most > 1e6 * middle:
        return (
            f"{found}, as the largest weight or rating of a pair is {most:.3g} and the median {middle:.3g}; clean "
            "such values in the mapping, or set signal.use_value to log"
        )
    return f"{found}; raise retrievers.{key}.reg (null chooses one), or lower retrievers.{key}.rank"
