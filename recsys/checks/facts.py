"""The figures that checks judge, and the frames that they are counted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pyspark.sql import DataFrame

from recsys import data

LOGS: Final = ("events", "impressions")
STATES: Final = ("items", "users")
CATEGORIES: Final = {
    "events": ("event_type", "device", "country"),
    "impressions": ("policy", "device", "country"),
    "items": ("currency",),
    "users": ("country", "segment"),
}
"""Columns of few values, whose new values are worth a look."""
_UNCOUNTED: Final = ("attributes", "valid_to", "seen_at", "seen_in", "unit", "label")
"""Nullable columns whose share of nulls says nothing: labels of the newest lists may still be unresolved."""


@dataclass(frozen=True)
class Past:
    """What is known before an instant; each frame has the columns of its table.

    Attributes
    ----------
    events, impressions : DataFrame
        Rows of the newest day and of the window before it.
    items, users : (DataFrame, DataFrame)
        The states valid just before the instant, and those valid a day earlier.
    quarantine : DataFrame
        Refused rows of any time.
    whole : mapping of str to DataFrame
        All of `events` and `impressions` before the instant: a batch may reach back beyond the window.
    """

    events: DataFrame
    impressions: DataFrame
    items: tuple[DataFrame, DataFrame]
    users: tuple[DataFrame, DataFrame]
    quarantine: DataFrame
    whole: Mapping[str, DataFrame]

    def logs(self) -> dict[str, DataFrame]:
        """The tables whose rows happen, by name."""
        return {"events": self.events, "impressions": self.impressions}

    def states(self) -> dict[str, tuple[DataFrame, DataFrame]]:
        """The tables whose rows are states, by name: now, and a day earlier."""
        return {"items": self.items, "users": self.users}


@dataclass(frozen=True)
class NewValues:
    """Values of a column that the newest day has and the window lacks.

    Attributes
    ----------
    values, rows : int
        How many such values there are, and rows that hold one.
    newest, before : int
        Rows with any value: of the newest day, and of the window.
    example : str, optional
        The most frequent of them.
    """

    values: int
    rows: int
    newest: int
    before: int
    example: str | None


@dataclass(frozen=True)
class Facts:
    """What the queries found; all of it is bounded by the days of the window, the types and the columns.

    Attributes
    ----------
    rows : dict
        Rows by table, type of event (empty: no type) and age in days; of items and users, 0 is now and 1 a day earlier.
    nulls : dict
        Rows without a value by table, column and age.
    latest : dict
        The newest row of a log.
    new : dict
        By table and column.
    known : dict
        By what it is that events name (`items`, `users`, `lists`): events of the newest day whose one is known, and all
        that name one.
    kept, refused : dict
        Of the batches that brought the newest day: rows kept by table; rows refused by table and reason, where an empty
        reason counts each row once.
    """

    rows: dict[tuple[str, str, int], int]
    nulls: dict[tuple[str, str, int], int]
    latest: dict[str, datetime]
    new: dict[tuple[str, str], NewValues]
    known: dict[str, tuple[int, int]]
    kept: dict[str, int]
    refused: dict[tuple[str, str], int]


def optional_columns(table: str) -> list[str]:
    """Columns of a table whose share of nulls is watched."""
    return [one.name for one in data.BY_NAME[table].columns if one.nullable and one.name not in _UNCOUNTED]
