"""Contract of the items that may be drawn."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

RANDOM_ITEMS = Table(
    name="random_items",
    comment="The items that random lists are drawn from, in an order of hashes.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("key", "bigint", "Hash of the seed, the instant and the item: its place in the order", nullable=False),
    ),
    key=("as_of", "retriever", "item_id"),
    partitions=("as_of_key", "retriever"),
    checks={"key_not_negative": "key >= 0"},
    retention_days=90,
)
