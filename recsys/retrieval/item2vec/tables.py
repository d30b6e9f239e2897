"""Contract of the items' vectors."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

ITEM_VECTORS = Table(
    name="item_vectors",
    comment="A vector of each item by what is touched around it, by the retriever that learned it.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("idx", "int", "Integer of item_index"),
        Column("vector", "array<float>", "Of length 1, vector_size numbers", nullable=False),
    ),
    key=("as_of", "retriever", "item_id"),
    partitions=("as_of_key", "retriever"),
    retention_days=90,
)
