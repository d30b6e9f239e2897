"""What each retriever contributes: its recall, what it alone found, and what it shares with the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import combinations_with_replacement
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import SOURCE_OVERLAP
from recsys.evaluation.stages import CANDIDATES


def source_overlap(
    candidates: DataFrame, *, relevant: DataFrame, population: DataFrame, names: Sequence[str], as_of: datetime
) -> DataFrame:
    """Count what retrievers proposed and what of it users took up.

    Parameters
    ----------
    candidates : DataFrame
        user_id, item_id, sources: the union of a day.
    relevant, population : DataFrame
        What users took up, and which users are judged; see `recsys.evaluation.truth`.
    names : sequence of str
        The retrievers.
    as_of : datetime
        Of the candidates.

    Returns
    -------
    DataFrame
        Rows of `recsys.data.SOURCE_OVERLAP`: one for the union, one for each retriever, two for each pair of them.
    """
    keys = ["user_id", "item_id"]
    mine = candidates.join(population.select("user_id"), on="user_id", how="left_semi")
    marked = mine.join(relevant.select(*keys).withColumn("taken", F.lit(True)), on=keys, how="left")
    taken = F.coalesce("taken", F.lit(False))
    counts: list[Column] = [F.count("*").alias("n:"), F.count_if(taken).alias("hits:")]
    pairs = list(combinations_with_replacement(sorted(names), 2))
    for one, other in pairs:
        both = F.array_contains("sources", one) & F.array_contains("sources", other)
        counts += [F.count_if(both).alias(f"n:{one}:{other}"), F.count_if(both & taken).alias(f"hits:{one}:{other}")]
    for name in names:
        alone = F.array_contains("sources", name) & (F.size("sources") == 1)
        counts.append(F.count_if(alone & taken).alias(f"unique:{name}"))
    found = marked.agg(*counts).collect()[0]
    total = relevant.join(population.select("user_id"), on="user_id", how="left_semi").count()

    def row(source: str, other: str, at: str, unique: int | None) -> tuple[Any, ...]:
        return (as_of.date(), as_of, source, other, found[f"n{at}"], found[f"hits{at}"], unique, total)

    rows = [row(CANDIDATES, CANDIDATES, ":", found["hits:"])]
    for one, other in pairs:
        at = f":{one}:{other}"
        if one == other:
            rows.append(row(one, one, at, found[f"unique:{one}"]))
        else:
            rows += [row(one, other, at, None), row(other, one, at, None)]
    return candidates.sparkSession.createDataFrame(rows, SOURCE_OVERLAP.ddl())
