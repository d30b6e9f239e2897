"""The rules that a row must keep. Each is a `Column`: the reason where the row breaks the rule, else null.

A reason is `rule` or `rule:column`; `REASONS` is the vocabulary, and `docs/your-data.md` shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.errors import ConfigError
from recsys.ingest.mappable import REPLACEMENT
from recsys.ingest.settings import CleanSettings
from recsys.settings import instant

REASONS: Final[dict[str, str]] = {
    "missing:COLUMN": "a required value is null, blank, or (for an id) NaN; user_id: and there is no session either",
    "bad_type:COLUMN": "the value is not of the column's type, such as n/a for a price, or 1e300 for an id",
    "bad_time:COLUMN": "the time can't be read in the mapping's format",
    "future_time": "the time is at or after clean.latest (one day from now if that is null)",
    "ancient_time": "the time is before clean.earliest",
    "late": "the time is more than the source's late_after_days before the newest row of earlier batches",
    "unknown_event_type": "the mapping neither maps nor ignores this type of event",
    "unknown_currency:COLUMN": "the mapping has no rate for the amount's currency, or the row names none",
    "negative:price": "a price below 0",
    "not_positive:COLUMN": "a quantity or a position of 0 or less",
    "out_of_range:COLUMN": "a propensity outside (0, 1], or a label other than 0 and 1",
    "bad_encoding:COLUMN": "the text holds U+FFFD, which stands for a byte that the encoding does not have",
    "too_long:COLUMN": "an id longer than clean.max_id_length",
    "list_lengths_differ": "parallel lists have different lengths",
    "list_too_long": "a list longer than the mapping's max_list_length",
    "repeated_item": "a shown list holds an item twice",
    "broken_record": "the line is not a JSON object, or the CSV line has the wrong number of fields",
    "duplicate_row": "the same business row again; one of them stays",
    "duplicate_key": "the same key with other content; of events the earliest stays; for items and users see latest_by",
}
"""What each reason means, for people; the documentation prints it."""

DUPLICATES: Final = ("duplicate_row", "duplicate_key")
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
    max_id_length: int
    max_list_length: int

    @classmethod
    def of(cls, settings: CleanSettings, *, now: datetime, max_list_length: int) -> Bounds:
        """Take the bounds from settings; `now` stands in for a missing `latest`, plus a day for clocks that are ahead.

        Raises
        ------
        ConfigError
            If the earliest is not before the latest.
        """
        latest, earliest = settings.latest, instant(settings.earliest)
        end = now + timedelta(days=1) if latest is None else instant(latest)
        if earliest >= end:
            raise ConfigError(
                f"clean.earliest {settings.earliest} is not before clean.latest {end:%Y-%m-%d}; no event would be left"
            )
        return cls(earliest, end, max_id_length=settings.max_id_length, max_list_length=max_list_length)


def reason(broken: Column, name: str) -> Column:
    """Return the reason where the row is broken, else null."""
    return F.when(broken, F.lit(name))


def missing(column: str, value: Column) -> Column:
    """Refuse a required value that is missing; blank texts are null by now."""
    return reason(value.isNull(), f"missing:{column}")


def bad_type(column: str, given: Column, value: Column) -> Column:
    """Refuse a value that could not be converted to the column's type."""
    return reason(given.isNotNull() & value.isNull(), f"bad_type:{column}")


def bad_number(column: str, given: Column, value: Column) -> Column:
    """Refuse a value that could not be converted to a finite number."""
    finite = F.abs(value) <= F.lit(_LARGEST)
    return reason(given.isNotNull() & (value.isNull() | ~finite), f"bad_type:{column}")


def bad_time(column: str, given: Column, value: Column) -> Column:
    """Refuse a value that could not be converted to an instant."""
    return reason(given.isNotNull() & value.isNull(), f"bad_time:{column}")


def outside_of_time(value: Column, bounds: Bounds) -> list[Column]:
    """Refuse an instant before the earliest, or at or after the latest."""
    return [
        reason(value >= F.lit(bounds.latest), "future_time"),
        reason(value < F.lit(bounds.earliest), "ancient_time"),
    ]


def bad_encoding(column: str, value: Column) -> Column:
    """Refuse a text with the character that decoders put in place of a wrong byte."""
    return reason(value.contains(REPLACEMENT), f"bad_encoding:{column}")


def too_long(column: str, value: Column, bounds: Bounds) -> Column:
    """Refuse an id longer than any that is plausible."""
    return reason(F.length(value) > bounds.max_id_length, f"too_long:{column}")


def in_range(column: str, value: Column) -> Column | None:
    """Return the range rule of a numeric contract column; None if it has none."""
    if column == "price":
        return reason(value < 0, "negative:price")
    if column in ("quantity", "position"):
        return reason(value <= 0, f"not_positive:{column}")
    if column == "propensity":
        return reason((value <= 0) | (value > 1), "out_of_range:propensity")
    if column == "label":
        return reason(~value.isin(0.0, 1.0), "out_of_range:label")
    return None
