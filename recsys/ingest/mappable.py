"""What of the contract a mapping can fill, and the helper columns that travel beside it."""

from __future__ import annotations

from typing import Final, Literal

from recsys import data

MAPPED_TABLES: Final = ("events", "impressions", "items", "users")
MappedTable = Literal["events", "impressions", "items", "users"]

_DERIVED: Final = frozenset(
    [
        *("event_date", "shown_date", "is_bot", "source", "batch_id", "ingested_at", "unit"),
        *("valid_to", "is_current", "seen_at", "seen_in", "attributes"),
    ]
)
REQUIRED: Final = {
    "events": ("item_id", "event_type", "event_time"),
    "impressions": ("list_id", "item_id", "shown_at"),
    "items": ("item_id",),
    "users": ("user_id",),
}
"""Contract columns that every mapping of a table has to fill."""

LISTABLE: Final = {
    "events": ("item_id", "value", "quantity", "price"),
    "impressions": ("item_id", "price", "propensity", "label"),
}
"""Contract columns that may come as parallel lists, to become one row per element."""

TIME_COLUMN: Final = {"events": "event_time", "impressions": "shown_at"}
"""When a row happened, for the tables whose rows happen."""

UNIX_FORMATS: Final = {"unix_s": 1_000_000, "unix_ms": 1_000, "unix_us": 1}
"""Time formats that count from 1970, and how many microseconds one unit holds."""

IDS: Final = frozenset(["event_id", "user_id", "item_id", "session_id", "list_id"])
"""Contract columns that identify something."""

AMOUNTS: Final = frozenset(["price", "value"])
"""Contract columns that may hold money."""

REPLACEMENT: Final = "\ufffd"
"""What decoders put in place of a byte that the encoding does not have."""

RAW, FILE, BROKEN = "__raw", "__file", "__broken"
"""Columns that a reader adds to each row of a source: the row as it was read, its file, whether it can't be parsed."""


OTHERS: Final = "__others"
"""Column that a reader adds where they are asked for: what the mapping does not read, by name."""


def mappable_columns(table: str) -> tuple[str, ...]:
    """Return the contract columns of a table that a mapping may fill; the others are derived from them."""
    return tuple(name for name in data.BY_NAME[table].column_names if name not in _DERIVED)
