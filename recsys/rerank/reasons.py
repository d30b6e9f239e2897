"""Why an item stands in a list: a code for machines and a sentence for people, from evidence that is checked.

The reason comes from the retriever that counts most for the item: the one with the largest `weight / (c + rank)`, as in
the union. Each retriever brings its cases, in `Model.explain`; what a case claims must be true of the user. Where none
holds, the reason is "Picked for you".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.base import Model
from recsys.retrieval.reasons import Case, because_evidence

DEFAULT = ("picked", "Picked for you")
"""Code and sentence where no case holds."""


def with_reasons(
    lists: DataFrame,
    *,
    events: DataFrame,
    items: DataFrame,
    models: Sequence[Model[Any]],
    as_of: datetime,
    rank_constant: float,
) -> DataFrame:
    """Add `reason_code` and `reason` to every row.

    Parameters
    ----------
    lists : DataFrame
        user_id, item_id (unique together), ranks map<string,int>, because_item_id, user_segment, and more.
    events : DataFrame
        Events; those at or after `as_of` are passed over.
    items : DataFrame
        The catalog valid at `as_of`: item_id (unique), title.
    models : sequence of Model
        The retrievers that proposed the items.
    rank_constant : float
        c of the union's reciprocal ranks.
    """
    leader = main_retriever({model.settings.name: model.settings.weight for model in models}, rank_constant)
    titles = items.select(
        F.col("item_id").alias("because_item_id"), F.nullif(F.trim("title"), F.lit("")).alias("because_title")
    )
    rows = (
        lists.withColumn("main_retriever", leader)
        .join(because_evidence(lists, events=events, as_of=as_of), on=["user_id", "because_item_id"], how="left")
        .join(titles, on="because_item_id", how="left")
    )
    found: list[tuple[Column, Case]] = []
    for model in models:
        rows, cases = model.explain(rows)
        found += [(F.col("main_retriever") == model.settings.name, case) for case in cases]
    code, sentence = F.lit(DEFAULT[0]), F.lit(DEFAULT[1])
    for mine, case in reversed(found):
        code = F.when(mine & case.when, case.code).otherwise(code)
        sentence = F.when(mine & case.when, case.sentence).otherwise(sentence)
    return rows.select(*(F.col(name) for name in lists.columns), code.alias("reason_code"), sentence.alias("reason"))


def main_retriever(weights: Mapping[str, float], rank_constant: float) -> Column:
    """Name of the retriever with the largest share of the union's score, of equals the first by name.

    Null where none proposed the item.
    """
    shares = [
        F.struct(
            (F.lit(float(weight)) / (F.lit(float(rank_constant)) + F.col("ranks")[name])).alias("share"),
            F.lit(-number).alias("order"),
            F.lit(name).alias("name"),
        )
        for number, (name, weight) in enumerate(sorted(weights.items()))
    ]
    proposed = F.filter(F.array(*shares), lambda entry: entry["share"].isNotNull())
    return F.array_max(proposed)["name"]
