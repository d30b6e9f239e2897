"""The union of retrievers by joins and group-bys: for catalogs that no executor could hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model
from recsys.retrieval.blend import Blend
from recsys.retrieval.frames import first_k
from recsys.retrieval.ordering import share_of
from recsys.retrieval.propose import COLUMNS
from recsys.retrieval.settings import CandidatesSettings
from recsys.retrieval.tiers import TIERS


def by_rows(audience: Audience, models: Sequence[Model[Any]], settings: CandidatesSettings, blend: Blend) -> DataFrame:
    """Make the same candidates as the one pass, row by row; see `recsys.retrieval.candidates.candidates`."""
    seen = audience.seen if settings.exclude_seen else None
    entries = reduce(DataFrame.unionByName, (_entries(model, audience, seen, blend) for model in models))
    return first_k(_united(entries), settings.k).select(*COLUMNS)


def _entries(model: Model[Any], audience: Audience, seen: DataFrame | None, blend: Blend) -> DataFrame:
    """What one retriever proposes: `user_id, item_id, entry`."""
    settings, people = model.settings, audience.people
    if {*TIERS} - {*settings.serves}:
        people = people.where(F.coalesce("tier", F.lit(TIERS[0])).isin(*settings.serves))
    found = model.lists(people.select("user_id"), k=settings.k, exclude=seen)
    cause = F.col("because_item_id") if "because_item_id" in found.columns else F.lit(None).cast("string")
    over = W.Window.partitionBy("user_id")
    found = found.withColumn(
        "share", share_of(blend, settings.name, rank=F.col("rank"), score=F.col("score"), over=over)
    )
    entry = F.struct(
        F.lit(settings.name).alias("name"),
        F.col("rank").alias("rank"),
        F.col("score").alias("score"),
        F.col("share"),
        cause.alias("because"),
    )
    return found.select("user_id", "item_id", entry.alias("entry"))


def _united(entries: DataFrame) -> DataFrame:
    # By name, so that the sum is the same to the last bit wherever it is made.
    grouped = entries.groupBy("user_id", "item_id").agg(F.array_sort(F.collect_list("entry")).alias("by"))
    score = F.aggregate("by", F.lit(0.0), lambda sofar, entry: sofar + entry["share"])
    return grouped.select(
        "user_id",
        "item_id",
        score.alias("score"),
        F.col("by.name").alias("sources"),
        F.map_from_arrays("by.name", "by.rank").alias("ranks"),
        F.map_from_arrays("by.name", "by.score").alias("scores"),
        _cause().alias("because_item_id"),
    )


def _cause() -> Column:
    """The cause of the entry with the largest share among those that name one, of equals the first by name."""
    named = F.filter("by", lambda entry: entry["because"].isNotNull())
    larger = F.aggregate(
        named,
        F.struct(F.lit(-1.0).alias("share"), F.lit(None).cast("string").alias("because")),
        lambda best, entry: F.when(
            entry["share"] > best["share"], F.struct(entry["share"].alias("share"), entry["because"].alias("because"))
        ).otherwise(best),
    )
    return larger["because"]
