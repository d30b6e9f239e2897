"""Contract of the lists of what follows what."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

ITEM_SUCCESSORS = Table(
    name="item_successors",
    comment="What people touch after each item, by the retriever that found it.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("item_id", "string", "The item that comes first", nullable=False),
        Column("rank", "int", "1 follows most", nullable=False),
        Column("successor_id", "string", "The item that follows", nullable=False),
        Column("score", "double", "How much it follows; higher is more", nullable=False),
        Column("support", "bigint", "Sequences (users, or sessions) that have the pair", nullable=False),
    ),
    key=("as_of", "retriever", "item_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "item_id <> successor_id"},
    retention_days=90,
)
