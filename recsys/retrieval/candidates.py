"""The union of all retrievers, per user in one pass: ALS, neighbours of recent items, popularity.

While everything that is known of items fits the broadcast limit, one `mapInArrow` over users makes the three lists,
drops what is seen or unavailable and unites them; the only shuffles are by user. Above the limit each retriever's rows
are made by joins and blocks and united by a group-by (`recsys.retrieval.union`). Both give the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.progress import note
from recsys.retrieval import blobs, union
from recsys.retrieval.catalog import load_catalog, size_in_bytes
from recsys.retrieval.propose import SCHEMA, Asked, proposer
from recsys.retrieval.users import packed


@dataclass(frozen=True)
class Sources:
    """What the retrievers know, as frames.

    Attributes
    ----------
    user_factors, item_factors : DataFrame, optional
        `user_id, factors` and `item_id, factors`; both None where ALS was not fitted.
    neighbors : DataFrame
        `item_id, neighbor_id, score`.
    popular : DataFrame
        `segment, rank, item_id, score`.
    item_index : DataFrame
        `item_id, idx`.
    unavailable : DataFrame, optional
        `item_id` of what must not be proposed.
    """

    neighbors: DataFrame
    popular: DataFrame
    item_index: DataFrame
    user_factors: DataFrame | None = None
    item_factors: DataFrame | None = None
    unavailable: DataFrame | None = None


def candidates(
    people: DataFrame, histories: DataFrame, sources: Sources, asked: Asked, *, broadcast_limit_mb: float = 256
) -> DataFrame:
    """Propose items for each user.

    Parameters
    ----------
    people : DataFrame
        `user_id, segment`; distinct users.
    histories : DataFrame
        `user_id, item_id, weight, last_time, seen`; everything strictly before the instant.
    broadcast_limit_mb : float
        Above it nothing that grows with items is broadcast.

    Returns
    -------
    DataFrame
        `user_id, item_id, rank, score, sources, ranks, scores, because_item_id`; at most `k` rows per user.
    """
    eligible = without_unavailable(sources)
    size = size_in_bytes(eligible)
    if size > broadcast_limit_mb * blobs.MEGABYTE:
        note(f"items take {size / blobs.MEGABYTE:.0f} MB, above spark.broadcast_limit_mb: candidates are made by joins")
        return union.by_rows(people, histories, eligible, asked, broadcast_limit_mb=broadcast_limit_mb)
    rows = packed(people, histories, sources.item_index, sources.user_factors)
    catalog = people.sparkSession.sparkContext.broadcast(load_catalog(eligible))
    return rows.mapInArrow(proposer(catalog, asked), SCHEMA)


def without_unavailable(sources: Sources) -> Sources:
    """Drop what must not be proposed from every source; as an origin of neighbours it stays."""
    if sources.unavailable is None:
        return sources
    gone = sources.unavailable.select("item_id").distinct()
    factors = sources.item_factors
    return Sources(
        neighbors=sources.neighbors.join(
            gone.select(F.col("item_id").alias("neighbor_id")), on="neighbor_id", how="left_anti"
        ),
        popular=sources.popular.join(gone, on="item_id", how="left_anti"),
        item_index=sources.item_index,
        user_factors=sources.user_factors,
        item_factors=None if factors is None else factors.join(gone, on="item_id", how="left_anti"),
    )
