"""Items and users: their history and their integers."""

from __future__ import annotations

from recsys.data.logs import _INGESTED, _provenance
from recsys.data.table import Column, Table


def _history() -> tuple[Column, ...]:
    return (
        Column(
            "valid_from",
            "timestamp",
            "When this state began (UTC); 1970-01-01 where the source has no time",
            nullable=False,
        ),
        Column("valid_to", "timestamp", "When the next state began (UTC, exclusive); null for the newest state"),
        Column("is_current", "boolean", "True for the newest state", nullable=False),
        Column("seen_at", "array<timestamp>", "Instants at which the source told this state, the first one included"),
        Column("seen_in", "array<string>", "Unit of input (`ingested`) that told it, for each instant of seen_at"),
    )


ITEMS = Table(
    name="items",
    comment="The catalog with its history: one row per item and state.",
    columns=(
        Column("item_id", "string", "Public item id", nullable=False),
        *_history(),
        Column("title", "string", "Name for people"),
        Column("category", "string", "Category; levels joined by /"),
        Column("brand", "string", "Brand, artist, publisher"),
        Column("price", "double", "Price of one unit"),
        Column("currency", "string", "Currency of the price"),
        Column("available", "boolean", "False when it must not be recommended", nullable=False),
        Column("added_at", "timestamp", "When the item entered the catalog (UTC)"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        *_provenance(),
    ),
    key=("item_id", "valid_from"),
    time_column="valid_from",
    since_column="added_at",
    checks={"price_not_negative": "price IS NULL OR price >= 0"},
    volatile=_INGESTED,
)

USERS = Table(
    name="users",
    comment="Profiles with their history: one row per user and state.",
    columns=(
        Column("user_id", "string", "Public user id", nullable=False),
        *_history(),
        Column("country", "string", "Country"),
        Column("segment", "string", "Segment by which popularity is also counted"),
        Column("birth_year", "int", "Year of birth"),
        Column("signed_up_at", "timestamp", "When the user signed up (UTC)"),
        Column("attributes", "map<string,string>", "What the source has and the contract lacks"),
        *_provenance(),
    ),
    key=("user_id", "valid_from"),
    time_column="valid_from",
    since_column="signed_up_at",
    volatile=_INGESTED,
)


def _index(entity: str) -> Table:
    return Table(
        name=f"{entity}_index",
        comment=f"Dense integer per {entity}: stable, append-only, from 1 (0 stands for unknown).",
        columns=(
            Column(f"{entity}_id", "string", f"Public {entity} id", nullable=False),
            Column("idx", "int", "Dense integer from 1", nullable=False),
            Column("created_as_of", "timestamp", "The as_of of the run that added the row (UTC)", nullable=False),
        ),
        key=(f"{entity}_id",),
        checks={"idx_from_one": "idx >= 1"},
    )


USER_INDEX = _index("user")

ITEM_INDEX = _index("item")
