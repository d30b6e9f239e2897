"""Contracts of what is bought again."""

from __future__ import annotations

from recsys.data import AS_OF_KEY, Column, Table

_SLICE = (
    Column("as_of", "timestamp", "Exclusive upper bound of what was seen (UTC)", nullable=False),
    AS_OF_KEY,
    Column("retriever", "string", "Name of the retriever in the config", nullable=False),
)

REPEAT_RATES = Table(
    name="repeat_rates",
    comment="How often each item is bought again by those who bought it.",
    columns=(
        *_SLICE,
        Column("item_id", "string", "Public item id", nullable=False),
        Column("buyers", "bigint", "Users who bought it", nullable=False),
        Column("repeats", "bigint", "Days on which one of them bought it again", nullable=False),
        Column("rate", "double", "Repeats per buyer and day, shrunk towards that of all items", nullable=False),
    ),
    key=("as_of", "retriever", "item_id"),
    partitions=("as_of_key", "retriever"),
    checks={"buyers_positive": "buyers >= 1", "repeats_not_negative": "repeats >= 0"},
    retention_days=90,
)

REPURCHASES = Table(
    name="repurchases",
    comment="The items that each user is likely to buy again, the likeliest first.",
    columns=(
        *_SLICE,
        Column("user_id", "string", "Public user id", nullable=False),
        Column("rank", "int", "1 is the likeliest", nullable=False),
        Column("item_id", "string", "Public item id", nullable=False),
        Column("score", "double", "Expected purchases per day, less for what is overdue", nullable=False),
        Column("days_bought", "bigint", "Days on which the user bought it", nullable=False),
        Column("cycle_days", "double", "Mean days between them; null after a single one"),
    ),
    key=("as_of", "retriever", "user_id", "rank"),
    partitions=("as_of_key", "retriever"),
    checks={"rank_from_one": "rank >= 1", "days_positive": "days_bought >= 1"},
    retention_days=90,
)
