"""Habits: how varied the running session is, and when a user usually comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

_HOURS_PER_PART: Final = 4
_SATURDAY: Final = 5
"""As `weekday` counts, from Monday as 0."""


def alike_shares(times: Column, *, instant: Column) -> dict[str, Column]:
    """Return the shares of an array of times in the instant's part of the day and kind of day.

    They are 0 to 1, null for an empty array. A part has four hours (UTC); a kind is weekend or weekday.
    """

    def share(kind: Callable[[Column], Column]) -> Column:
        alike = F.filter(times, lambda time: kind(time) == kind(instant))
        return F.when(F.size(times) > 0, F.size(alike) / F.size(times))

    return {
        "hour_share": share(lambda time: F.floor(F.hour(time) / _HOURS_PER_PART)),
        "weekend_share": share(lambda time: F.weekday(time) >= _SATURDAY),
    }


def habit_columns() -> dict[str, Column]:
    """Return the features of a row whose moment (columns that start with `_`) is known."""
    events = F.size("_session_items")
    variety = F.size("_session_categories") / events
    return {
        "session_variety": F.when(F.col("_session_id").isNotNull() & (events > 0), variety),
        "user_hour_share": F.col("_hour_share"),
        "user_weekend_share": F.col("_weekend_share"),
    }
