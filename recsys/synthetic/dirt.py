"""Which defects are planted, how often, and in which rows: decided by a hash of the row's key."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

EVENT_DEFECTS: Mapping[str, float] = {
    "duplicate_row": 0.003,
    "duplicate_key": 0.001,
    "missing_user": 0.001,
    "missing_item": 0.001,
    "bad_time": 0.001,
    "future_time": 0.0005,
    "ancient_time": 0.0005,
    "unknown_event": 0.001,
    "negative_price": 0.001,
    "bad_quantity": 0.002,
    "bad_number": 0.001,
    "broken_json": 0.001,
    "bad_encoding": 0.0005,
    "blank_id": 0.0005,
    "overlong_id": 0.0005,
}
"""Share of event rows that get each defect at ``dirt=1``; ``bad_quantity`` only where there is a quantity."""

EVENT_ODDITIES: Mapping[str, float] = {"unknown_item": 0.001}
"""Well-formed rows that name an item missing from the catalog: clean, but counted separately."""

IMPRESSION_DEFECTS: Mapping[str, float] = {
    "duplicate_row": 0.002,
    "missing_list_id": 0.001,
    "bad_time": 0.001,
    "broken_json": 0.001,
}
CATALOG_DEFECTS: Mapping[str, float] = {"missing_id": 0.003, "negative_price": 0.003, "duplicate_key": 0.003}
"""Extra rows per item; at least one of each when ``dirt`` is above 0."""
PROFILE_DEFECTS: Mapping[str, float] = {"missing_id": 0.003}
"""Extra rows per profile; at least one of each when ``dirt`` is above 0."""

REPEATS = ("duplicate_row", "duplicate_key")
"""Defects that add a row; the row that is repeated stays clean."""

_RESOLUTION = 1_000_000_000


def choose(key: str, rates: Mapping[str, float], *, seed: int, purpose: str, dirt: float) -> Column:
    """Return the defect a row gets, null for most rows.

    Parameters
    ----------
    key
        Column that identifies the row.
    rates
        Share of rows per defect, multiplied by ``dirt``.
    """
    draw = F.pmod(F.xxhash64(F.lit(seed), F.lit(purpose), F.col(key)), F.lit(_RESOLUTION))
    chosen = F.lit(None).cast("string")
    edge = sum(rates.values()) * dirt
    for name, rate in reversed(list(rates.items())):
        chosen = F.when(draw < F.lit(round(edge * _RESOLUTION)), F.lit(name)).otherwise(chosen)
        edge -= rate * dirt
    return chosen


def repeat(defect: str = "defect") -> Column:
    """Return the defect of each line to write: a repeated row becomes a clean line and a defect line."""
    repeated = F.col(defect).isin(*REPEATS)
    return F.explode(
        F.when(repeated, F.array(F.lit(None).cast("string"), F.col(defect))).otherwise(F.array(F.col(defect)))
    )


def spoil(value: Column, spoiled: Mapping[str, Column], defect: str = "defect") -> Column:
    """Return ``value``, or its replacement in rows that carry one of the defects."""
    out = value
    for name, instead in spoiled.items():
        out = F.when(F.col(defect) == name, instead).otherwise(out)
    return out


def cut_short(line: Column) -> Column:
    """Return about the first 60% of a line, as an interrupted write leaves it."""
    return line.substr(F.lit(1), (F.length(line) * 0.6).cast("int"))
