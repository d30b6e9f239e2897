"""Contract of the items that the catalog says are alike."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

SIMILAR_ITEMS = Table(
    name="similar_items",
    comment="The items that are most like each item by what the catalog says of them.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "The item", nullable=False),
        Column("rank", "int", "1 is the most similar", nullable=False),
        Column("neighbor_id", "string", "The similar item, available at `as_of`", nullable=False),
        Column("score", "double", "Cosine of the two vectors, above 0 and at most 1", nullable=False),
        Column("shared_brand", "string", "Brand that both have; null if they differ"),
        Column("shared_category", "string", "Category that both have; null if they differ"),
    ),
    key=("as_of", "retriever", "item_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "item_id <> neighbor_id", "score_positive": "score > 0"},
    retention_days=90,
)
