"""Turns a row that holds a list into one row per element."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.ingest.mappable import LISTABLE


def explode_lists(rows: DataFrame, *, table: str) -> DataFrame:
    """Turn parallel arrays into rows; an element's place becomes an impression's `position`, or ends its `event_id`.

    Parameters
    ----------
    rows : DataFrame
        Clean rows whose listable columns are arrays of the same length (or null as a whole).
    """
    listed = [name for name in LISTABLE[table] if _is_list(rows, name)]
    others = [name for name in rows.columns if name not in listed]
    # A list that is null as a whole would make the zipped one null, and the row would be lost.
    length = F.greatest(*(F.size(name) for name in listed), F.lit(0))
    zipped = F.arrays_zip(*(_whole(rows, name, length).alias(name) for name in listed))
    one = rows.select(*others, F.posexplode(zipped).alias("__at", "__element"))
    position = F.col("__at") + F.lit(1)

    def value(name: str) -> Column:
        if name in listed:
            return F.col("__element").getField(name)
        if table == "impressions" and name == "position":
            return position
        if table == "events" and name == "event_id":
            return F.concat_ws("-", F.col("event_id"), position)
        return F.col(name)

    return one.select(*(value(name).alias(name) for name in rows.columns))


def _whole(rows: DataFrame, name: str, length: Column) -> Column:
    """Return a list, or as many nulls if it is null."""
    kind = rows.schema[name].dataType
    assert isinstance(kind, T.ArrayType)
    return F.coalesce(F.col(name), F.array_repeat(F.lit(None).cast(kind.elementType), length.cast("int")))


def _is_list(rows: DataFrame, name: str) -> bool:
    return rows.schema[name].dataType.typeName() == "array"
