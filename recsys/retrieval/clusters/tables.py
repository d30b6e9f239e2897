"""Contracts of clusters of profiles."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

_SLICE = (
    Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
    AS_OF_KEY,
    Column("retriever", "string", "Name of the retriever in the config", nullable=False),
)

CLUSTER_ITEMS = Table(
    name="cluster_items",
    comment="Most popular items of each cluster of profiles, and of everybody.",
    columns=(
        *_SLICE,
        Column("cluster", "string", "Values of the profile; empty string for everybody", nullable=False),
        Column("rank", "int", "1 is the most popular", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "Share of the item in what the cluster touches, shrunk, 0 to 1", nullable=False),
    ),
    key=("as_of", "retriever", "cluster", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1"},
    retention_days=90,
)

CLUSTER_MEMBERS = Table(
    name="cluster_members",
    comment="The cluster of each user whose profile is in one that has a list.",
    columns=(
        *_SLICE,
        Column("user_id", "string", "Public user id", nullable=False),
        Column("cluster", "string", "Values of the profile", nullable=False),
    ),
    key=("as_of", "retriever", "user_id"),
    partitions=("as_of_key", "retriever"),
    retention_days=90,
)
