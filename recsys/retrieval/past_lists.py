"""Past candidates brought to the driver: a bounded number of whole lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.retrieval.blending import PastLists


def labeled_by(taken: DataFrame, proposed: DataFrame) -> DataFrame:
    """Label candidates of one instant, which needs no name, by what users took up.

    Parameters
    ----------
    taken : DataFrame
        Distinct `user_id, item_id`.
    proposed : DataFrame
        What `candidates` returns.
    """
    marked = proposed.join(taken.withColumn("taken", F.lit(1.0)), on=["user_id", "item_id"], how="left")
    labels = {"label": F.coalesce("taken", F.lit(0.0)), "as_of": F.timestamp_micros(F.lit(0))}
    return marked.withColumns(labels).drop("taken")


def past_lists(labeled: DataFrame, names: Sequence[str], *, lists: int) -> PastLists:
    """Take the lists that have something that was taken up; of more than `lists`, those whose hash is smallest.

    Parameters
    ----------
    labeled : DataFrame
        user_id, item_id, as_of, ranks, scores and `label`: candidates of past instants. Read twice.
    names : sequence of str
        The retrievers.
    lists : int
        How many lists may come to the driver.
    """
    key = ("as_of", "user_id")
    some = labeled.groupBy(*key).agg(F.max("label").alias("most"), F.min("label").alias("least"))
    drawn = F.xxhash64(F.col("user_id"), F.unix_micros("as_of"))
    chosen = some.where("most > least").select(*key, drawn.alias("list")).orderBy("list", *key).limit(lists)
    columns = [
        F.coalesce(F.col(field)[name], F.lit(0)).cast(kind).alias(f"{field}:{name}")
        for name in names
        for field, kind in (("ranks", "int"), ("scores", "double"))
    ]
    rows = labeled.join(chosen, on=list(key), how="left_semi")
    table = arrow.collect_arrow(
        rows.select(*key, "item_id", F.xxhash64("user_id").alias("user"), "label", *columns)
    ).sort_by([(name, "ascending") for name in (*key, "item_id")])
    new = np.zeros(table.num_rows, dtype=np.bool_)
    for name in key:
        new[arrow.group_starts(table.column(name))] = True
    group = np.cumsum(new) - 1

    def matrix(field: str) -> NDArray[Any]:
        return np.stack([table.column(f"{field}:{name}").to_numpy() for name in names], axis=1)

    return PastLists(
        names=tuple(names),
        group=group,
        user=table.column("user").to_numpy()[new] & (2**62 - 1),
        label=table.column("label").to_numpy(),
        rank=matrix("ranks").astype(np.int64),
        score=matrix("scores"),
    )
