"""Contract of the neighbor lists."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

ITEM_NEIGHBORS = Table(
    name="item_neighbors",
    comment="Most similar items of each item, by the retriever that found them.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "The item", nullable=False),
        Column("rank", "int", "1 is the most similar", nullable=False),
        Column("neighbor_id", "string", "The similar item", nullable=False),
        Column("score", "double", "Similarity; higher is more similar", nullable=False),
        Column("support", "bigint", "Users who touched both", nullable=False),
    ),
    key=("as_of", "retriever", "item_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "item_id <> neighbor_id"},
    retention_days=90,
)
