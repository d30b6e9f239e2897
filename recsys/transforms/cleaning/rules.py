"""The rules that a row must keep. Each returns a `Column`: the reason where the row breaks the rule, else null.

A reason is `rule` or `rule:column`; `REASONS` is the vocabulary, and `docs/your-data.md` shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

REASONS: Final[dict[str, str]] = {
    "missing:COLUMN": "a required value is null, empty or only spaces (user_id: and there is no session either)",
    "bad_type:COLUMN": "the value is not of the column's type, such as n/a for a price",
    "bad_time:COLUMN": "the time can't be read in the mapping's format",
    "future_time": "the time is at or after clean.latest (one day after now where that is null)",
    "ancient_time": "the time is before clean.earliest",
    "unknown_event_type": "the mapping neither maps nor ignores this type of event",
    "negative:price": "a price below 0",
    "not_positive:COLUMN": "a quantity or a position of 0 or less",
    "out_of_range:COLUMN": "a propensity outside (0, 1], or a label other than 0 and 1",
    "bad_encoding:COLUMN": "the text holds U+FFFD, what is left of a byte that the encoding has not",
    "too_long:COLUMN": "an id longer than clean.max_id_length",
    "list_lengths_differ": "lists that stand side by side have different lengths",
    "list_too_long": "a list longer than the mapping's max_list_length",
    "repeated_item": "a shown list holds an item twice",
    "broken_record": "the line is no JSON object, or the CSV line has the wrong number of fields",
    "duplicate_row": "the same business row again; one of them stays",
    "duplicate_key": "the same key with other content; events: the earliest stays, items and users: see latest_by",
}
"""What each reason says, for people; the documentation prints it."""

DUPLICATES: Final = ("duplicate_row", "duplicate_key")
REPLACEMENT: Final = "\ufffd"
_LARGEST: Final = 1.7976931348623157e308


@dataclass(frozen=True)
class Bounds:
    """What the rules compare with.

    Attributes
    ----------
    earliest, latest : datetime
        Times before the first, and at or after the second, are refused (UTC).
    max_id_length : int
        Longer ids are refused.
    max_list_length : int
        Longer lists are refused.
    """

    earliest: datetime
    latest: datetime
    max_id_length: int = 256
    max_list_length: int = 1000


Where = Callable[[Column], Column]
"""How a condition on one value becomes one on the row: as it is, or `exists` over a list."""


def reason(broken: Column, name: str) -> Column:
    """The reason where the row is broken, else null."""
    return F.when(broken, F.lit(name))


def missing(column: str, value: Column) -> Column:
    """A required value that is not there; blank texts are null by now."""
    return reason(value.isNull(), f"missing:{column}")


def bad_type(column: str, given: Column, value: Column) -> Column:
    """A value that was there and did not become one of the column's type."""
    return reason(given.isNotNull() & value.isNull(), f"bad_type:{column}")


def bad_number(column: str, given: Column, value: Column) -> Column:
    """A value that did not become a finite number."""
    finite = F.abs(value) <= F.lit(_LARGEST)
    return reason(given.isNotNull() & (value.isNull() | ~finite), f"bad_type:{column}")


def bad_time(column: str, given: Column, value: Column) -> Column:
    """A value that did not become an instant."""
    return reason(given.isNotNull() & value.isNull(), f"bad_time:{column}")


def outside_of_time(value: Column, bounds: Bounds) -> list[Column]:
    """An instant before the earliest, or at or after the latest that is believed."""
    return [
        reason(value >= F.lit(bounds.latest), "future_time"),
        reason(value < F.lit(bounds.earliest), "ancient_time"),
    ]


def bad_encoding(column: str, value: Column) -> Column:
    """A text with what decoding leaves of a wrong byte."""
    return reason(value.contains(REPLACEMENT), f"bad_encoding:{column}")


def too_long(column: str, value: Column, bounds: Bounds) -> Column:
    """An id beyond the longest that is believed."""
    return reason(F.length(value) > bounds.max_id_length, f"too_long:{column}")


def in_range(column: str, value: Column) -> Column | None:
    """The range rule of a numeric contract column, where it has one."""
    if column == "price":
        return reason(value < 0, "negative:price")
    if column in ("quantity", "position"):
        return reason(value <= 0, f"not_positive:{column}")
    if column == "propensity":
        return reason((value <= 0) | (value > 1), "out_of_range:propensity")
    if column == "label":
        return reason(~value.isin(0.0, 1.0), "out_of_range:label")
    return None
