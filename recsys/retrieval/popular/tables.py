"""Contract of the popular items."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

POPULAR_ITEMS = Table(
    name="popular_items",
    comment="Most popular items over a window: overall and per segment of users.",
    columns=(
        Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
        AS_OF_KEY,
        Column("retriever", "string", "Name of the retriever in the config", nullable=False),
        Column("segment", "string", "Segment of the profile; empty string for everybody", nullable=False),
        Column("rank", "int", "1 is the most popular", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column(
            "score",
            "double",
            "Weighted users in the window, or what `score` names",
            nullable=False,
        ),
    ),
    key=("as_of", "retriever", "segment", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1"},
    retention_days=90,
)
