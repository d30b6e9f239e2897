"""The union of retrievers by joins and group-bys: for catalogues that no executor could hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.als import AlsModel
from recsys.retrieval.neighbors import NeighborsModel
from recsys.retrieval.popular import PopularModel
from recsys.retrieval.propose import COLUMNS, Asked
from recsys.retrieval.topk import first_k
from recsys.tables import RETRIEVERS

if TYPE_CHECKING:
    from recsys.retrieval.candidates import Sources


def by_rows(
    people: DataFrame, histories: DataFrame, sources: Sources, asked: Asked, *, broadcast_limit_mb: float
) -> DataFrame:
    """Make the same candidates as the one pass, row by row; see `recsys.retrieval.candidates.candidates`."""
    seen = histories.where("seen").select("user_id", "item_id") if asked.exclude_seen else None
    neighbors = NeighborsModel(sources.neighbors, histories, asked.recent_items)
    popular = PopularModel(sources.popular, people.where(F.col("segment").isNotNull()))
    found = {
        "neighbors": neighbors.recommend(people, k=asked.neighbors_k, exclude=seen),
        "popular": popular.recommend(people, k=asked.popular_k, exclude=seen),
    }
    if sources.user_factors is not None and sources.item_factors is not None:
        als = AlsModel(sources.user_factors, sources.item_factors, broadcast_limit_mb=broadcast_limit_mb)
        found["als"] = als.recommend(people, k=asked.als_k, exclude=seen)
    rows = None
    for name, frame in sorted(found.items()):
        cause = "because_item_id" if "because_item_id" in frame.columns else F.lit(None).cast("string")
        entry = F.struct(F.lit(name).alias("source"), F.col("rank").alias("place"), F.col("score").alias("raw"))
        because = F.col(cause) if isinstance(cause, str) else cause
        part = frame.select("user_id", "item_id", entry.alias("entry"), because.alias("because_item_id"))
        rows = part if rows is None else rows.unionByName(part)
    assert rows is not None
    return first_k(_united(rows, asked), asked.k).select(*COLUMNS)


def _united(rows: DataFrame, asked: Asked) -> DataFrame:
    weights = F.create_map(*(F.lit(x) for pair in zip(RETRIEVERS, asked.weight_list(), strict=True) for x in pair))
    grouped = rows.groupBy("user_id", "item_id").agg(
        F.array_sort(F.collect_list("entry")).alias("entries"), F.max("because_item_id").alias("because_item_id")
    )
    score = F.aggregate(
        "entries",
        F.lit(0.0),
        lambda sofar, entry: sofar + weights[entry["source"]] / (F.lit(float(asked.rrf_k)) + entry["place"]),
    )
    return grouped.select(
        "user_id",
        "item_id",
        score.alias("score"),
        F.col("entries.source").alias("sources"),
        F.map_from_arrays("entries.source", "entries.place").alias("ranks"),
        F.map_from_arrays("entries.source", "entries.raw").alias("scores"),
        "because_item_id",
    )
