"""Brings mapped sources into the form of their table: every column present, ids assigned, keys hashed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.ingest.continued import KEPT
from recsys.ingest.dataset import Source
from recsys.ingest.given import LATEST, REASONS_TEXT, SEPARATOR, SKIPPED, SOURCE_NAME
from recsys.ingest.histories import latest_first
from recsys.ingest.mappable import FILE, LISTABLE, RAW, TIME_COLUMN, mappable_columns
from recsys.ingest.mapping import map_source
from recsys.ingest.repeats import KEY_HASH, content_hash, key_hash
from recsys.ingest.rules import Bounds

_HELPERS = (SOURCE_NAME, RAW, FILE, SKIPPED, REASONS_TEXT)
_EPOCH = "TIMESTAMP '1970-01-01 00:00:00'"


@dataclass(frozen=True)
class Shape:
    """Sources of one table whose rows have one form: single rows, or rows that hold lists; records, or sightings.

    Attributes
    ----------
    frame : DataFrame
        Every row of these sources, broken ones included: the table's mappable columns and the helper columns.
    sources : tuple of Source
        The sources that the rows come from.
    listed : bool
        Rows hold lists that are exploded later.
    sighted : bool
        Rows are sightings, which are merged rather than compared.
    """

    table: str
    frame: DataFrame
    sources: tuple[Source, ...]
    listed: bool
    sighted: bool

    @property
    def label(self) -> str:
        """Name for steps and messages."""
        return f"{self.table} ({', '.join(source.name for source in self.sources)})"

    @property
    def compared(self) -> bool:
        """Whether repeats are found and refused; sightings are merged instead."""
        return not self.sighted

    @property
    def key(self) -> list[str]:
        """Columns that identify a row before lists are exploded."""
        if self.table == "impressions" and self.listed:
            return ["list_id"]
        return list(data.BY_NAME[self.table].key)

    @property
    def content(self) -> list[str]:
        """All business columns."""
        return [*mappable_columns(self.table), "attributes"]

    @property
    def order(self) -> list[Column]:
        """Which row of a key stays: the earliest (of shown items, one with a label), or the newest by `latest_by`."""
        if self.table in TIME_COLUMN:
            unresolved = [F.col("label").isNull().asc()] if self.table == "impressions" else []
            # As it is decided between a new event and a stored one; rows with lists have no such rival.
            kept = [content_hash(self.frame, KEPT).asc()] if self.table == "events" and not self.listed else []
            return [*unresolved, F.col(TIME_COLUMN[self.table]).asc(), *kept]
        return latest_first(self.frame)


def shape(
    frames: Iterable[tuple[Source, DataFrame]],
    *,
    timezone: str,
    bounds: Bounds,
    late_before: Mapping[str, datetime] | None = None,
) -> list[Shape]:
    """Map every source, and unite those of the same table and form.

    Parameters
    ----------
    late_before : mapping of str to datetime, optional
        Name of a source, to the instant before which its rows are late.
    """
    groups: dict[tuple[str, bool, bool], list[tuple[Source, DataFrame]]] = {}
    for source, frame in frames:
        mapped = map_source(frame, source, timezone=timezone, bounds=bounds)
        if source.name in (late_before or {}):
            mapped = _judged_late(mapped, TIME_COLUMN[source.table], (late_before or {})[source.name])
        groups.setdefault((source.table, bool(source.explode), source.observations), []).append((source, mapped))
    found = []
    for (table, listed, sighted), members in groups.items():
        ordered = any(source.latest_by for source, _ in members)
        complete = [_complete(frame, source, ordered=ordered, listed=listed) for source, frame in members]
        united = reduce(DataFrame.unionByName, complete)
        found.append(Shape(table, united, tuple(source for source, _ in members), listed, sighted))
    return found


def _judged_late(rows: DataFrame, time: str, before: datetime) -> DataFrame:
    late = F.when(~F.col(SKIPPED) & (F.col(time) < F.lit(before)), F.lit("late"))
    why = F.concat_ws(SEPARATOR, F.when(F.col(REASONS_TEXT) != "", F.col(REASONS_TEXT)), late)
    return rows.select(*_replaced(rows, REASONS_TEXT, why))


def _complete(frame: DataFrame, source: Source, *, ordered: bool, listed: bool) -> DataFrame:
    table = data.BY_NAME[source.table]
    columns = []
    for name in mappable_columns(source.table):
        column = F.col(name) if name in frame.columns else F.lit(None).cast(_type(source, name, listed))
        columns.append(_default(name, column, source).alias(name))
    latest = []
    if ordered:
        mapped = F.col(LATEST).cast("string") if LATEST in frame.columns else F.lit(None).cast("string")
        latest = [mapped.alias(LATEST)]
    filled = frame.select(*_HELPERS, *columns, "attributes", *latest)
    if source.table == "events":
        business = [name for name in [*mappable_columns("events"), "attributes"] if name != "event_id"]
        made = content_hash(filled, business)
        filled = filled.select(*_replaced(filled, "event_id", F.coalesce("event_id", made)))
    key = ["list_id"] if source.table == "impressions" and listed else table.key
    return filled.select("*", key_hash(key).alias(KEY_HASH))


def _type(source: Source, name: str, listed: bool) -> str:
    plain = data.BY_NAME[source.table].column(name).type
    return f"array<{plain}>" if listed and name in LISTABLE[source.table] and name in source.explode else plain


def _default(name: str, column: Column, source: Source) -> Column:
    if source.table in ("items", "users") and name == "valid_from":
        return F.coalesce(column, F.expr(_EPOCH))
    if source.table == "items" and name == "available":
        return F.coalesce(column, F.lit(True))
    return column


def _replaced(frame: DataFrame, name: str, column: Column) -> Sequence[Column]:
    return [column.alias(name) if other == name else F.col(other) for other in frame.columns]
