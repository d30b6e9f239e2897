"""One figure of some lists, without an interval: what a search compares trials by."""

from __future__ import annotations

from typing import Final

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import ConfigError
from recsys.settings import nearest

METRICS: Final = ("ndcg", "recall", "hit_rate")
_UNIT = float(2**30)
"""Figures of users are summed as whole multiples of 2^-30, so that their order cannot matter."""


def parsed(metric: str) -> tuple[str, int]:
    """Take a metric such as `ndcg@10` apart.

    Raises
    ------
    ConfigError
        If it is not known, or has no cut-off.

    Examples
    --------
    >>> parsed("recall@20")
    ('recall', 20)
    """
    name, _, cut = metric.partition("@")
    if name not in METRICS:
        raise ConfigError(f"metric {metric!r} can't be searched by; {nearest(name, METRICS, 'known are')}")
    if not (cut.isascii() and cut.isdigit()) or int(cut) < 1:
        raise ConfigError(f"metric {metric!r} has no cut-off; write for example {name}@10")
    return name, int(cut)


def mean_over_users(lists: DataFrame, relevant: DataFrame, *, metric: str, k: int) -> float:
    """Return the mean of a metric over the users with something relevant; without a list it is 0.

    Parameters
    ----------
    lists : DataFrame
        `user_id, item_id, rank`.
    relevant : DataFrame
        Distinct `user_id, item_id`; at least one row.
    metric : {"ndcg", "recall", "hit_rate"}
        As `recsys.evaluation.metrics` defines them.
    """
    hits = lists.where(F.col("rank") <= k).join(relevant, on=["user_id", "item_id"], how="left_semi")
    of_user = hits.groupBy("user_id").agg(F.array_sort(F.collect_list("rank")).alias("ranks"))
    wanted = relevant.groupBy("user_id").agg(F.count("*").alias("n"))
    gains = F.transform("ranks", lambda rank: F.lit(np.log(2.0)) / F.log(rank + 1))
    ideal = F.array(*(F.lit(float(total)) for total in np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))))
    figure = {
        "ndcg": F.aggregate(gains, F.lit(0.0), lambda sofar, gain: sofar + gain)
        / F.element_at(ideal, F.least(F.col("n"), F.lit(k)).cast("int")),
        "recall": F.size("ranks") / F.col("n"),
        "hit_rate": (F.size("ranks") > 0).cast("double"),
    }[metric]
    # The size of a null is -1 in Spark 3.5.
    listed = F.when(F.col("ranks").isNotNull(), figure).otherwise(0.0)
    units = F.rint(listed * _UNIT).cast("long")
    row = wanted.join(of_user, on="user_id", how="left").agg(F.sum(units).alias("sum"), F.count("*").alias("n")).first()
    assert row is not None
    return float(row["sum"]) / _UNIT / int(row["n"])
