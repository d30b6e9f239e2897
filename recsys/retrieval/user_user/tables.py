"""Contracts of similar users, and of what they lead to."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

_SLICE = (
    Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
    AS_OF_KEY,
    Column("retriever", "string", "Name of the retriever in the config", nullable=False),
)

USER_NEIGHBORS = Table(
    name="user_neighbors",
    comment="Most similar users of each user, by the retriever that found them.",
    columns=(
        *_SLICE,
        Column("user_id", "string", "The user", nullable=False),
        Column("rank", "int", "1 is the most similar", nullable=False),
        Column("neighbor_id", "string", "The similar user", nullable=False),
        Column("score", "double", "Similarity; higher is more similar", nullable=False),
        Column("support", "bigint", "Items that both touched, of those that pairs were made from", nullable=False),
    ),
    key=("as_of", "retriever", "user_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "not_itself": "user_id <> neighbor_id"},
    retention_days=90,
)

NEIGHBOR_CHOICES = Table(
    name="neighbor_choices",
    comment="What the most similar users of each user touched, the best first.",
    columns=(
        *_SLICE,
        Column("user_id", "string", "Public user id", nullable=False),
        Column("rank", "int", "1 is the best", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "Sum over the neighbors of similarity x share of the item", nullable=False),
        Column("users", "int", "Similar users who touched it", nullable=False),
        Column("touched", "boolean", "Whether the user has touched it", nullable=False),
    ),
    key=("as_of", "retriever", "user_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "users_positive": "users >= 1"},
    retention_days=90,
)

TOUCHED_ITEMS = Table(
    name="touched_items",
    comment="Items that similar users can lead to.",
    columns=(
        *_SLICE,
        Column("item_id", "string", "Public item id", nullable=False),
        Column("users", "bigint", "Users who touched it", nullable=False),
    ),
    key=("as_of", "retriever", "item_id"),
    partitions=("as_of_key", "retriever"),
    checks={"users_positive": "users >= 1"},
    retention_days=90,
)
