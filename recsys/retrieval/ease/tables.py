"""Contract of the weights between items."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

ITEM_WEIGHTS = Table(
    name="item_weights",
    comment="How much an item of a user's past speaks for, or against, other items, by the retriever that learned it.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "The item of the past", nullable=False),
        Column("rank", "int", "1 has the weight of the largest absolute value", nullable=False),
        Column("target_id", "string", "The item that it speaks for or against", nullable=False),
        Column("weight", "double", "What it adds to the score of the other; may be negative", nullable=False),
    ),
    key=("as_of", "retriever", "item_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "item_id <> target_id"},
    retention_days=90,
)
