"""Columns that a source has and its mapping does not read: which of them are new, and what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.data.sql import quote
from recsys.errors import DataError
from recsys.ingest.dataset import Source
from recsys.ingest.mappable import BROKEN, FILE, OTHERS, RAW
from recsys.progress import note

_OWN = frozenset([RAW, FILE, BROKEN, OTHERS])


def columns_of(frame: DataFrame) -> tuple[str, ...]:
    """Return the source's own columns of what a reader opened, by name."""
    return tuple(sorted(set(frame.columns) - _OWN))


def unread(source: Source, columns: Collection[str]) -> list[str]:
    """Return the columns that the mapping does not read."""
    return sorted(set(columns) - source.source_columns())


def report(source: Source, columns: Sequence[str], known: Collection[str] | None) -> None:
    """Tell of columns that no earlier unit of the source had, and that the mapping does not read.

    Parameters
    ----------
    known : collection of str, optional
        Columns of earlier units; None if there were none, so that nothing is new.

    Raises
    ------
    DataError
        If the mapping says `new_columns: stop`.
    """
    new = [name for name in unread(source, columns) if known is not None and name not in known]
    if not new:
        return
    named = ", ".join(new)
    if source.new_columns == "stop":
        raise DataError(
            f"source {source.name}: {source.path} has columns that it did not have before: {named}; map them, or set "
            "new_columns: report to leave them out, or attributes to keep them"
        )
    goes = "kept in attributes" if source.new_columns == "attributes" else "left out, since the mapping reads none"
    note(f"source {source.name}: columns that were not there before: {named} ({goes})")


def with_others(frame: DataFrame, source: Source) -> DataFrame:
    """Add `OTHERS`, a map of the columns that the mapping does not read, if they are to travel in `attributes`."""
    if source.new_columns != "attributes" or OTHERS in frame.columns:
        return frame
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    names = unread(source, columns_of(frame))
    pairs = [part for name in names for part in (F.lit(name), _text(name, kinds[name]))]
    if not pairs:
        return frame.withColumn(OTHERS, F.lit(None).cast("map<string,string>"))
    return frame.withColumn(OTHERS, present(F.create_map(*pairs)))


def present(others: Column) -> Column:
    """Leave out values that are null or blank, and trim the rest."""
    trimmed = F.transform_values(others, lambda _, value: F.trim(value))
    return F.map_filter(trimmed, lambda _, value: value.isNotNull() & (value != ""))


def _text(name: str, kind: T.DataType) -> Column:
    column = F.col(quote(name))
    nested = isinstance(kind, (T.ArrayType, T.MapType, T.StructType))
    return F.to_json(column) if nested else column.cast("string")
