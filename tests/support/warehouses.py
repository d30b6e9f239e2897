"""Compares warehouses: one digest per table, blind to the order of rows and to columns that describe the run."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.store import Warehouse
from recsys.store.catalog import all_tables

Digests = dict[str, tuple[int, int]]
"""Rows and hash by table name."""

OF_THE_RUN = ("runs",)
OF_THE_PLACE = {"models": ("path", "config")}
"""Columns that hold the paths of the warehouse and its input."""


def digests(warehouse: Warehouse, *, without: tuple[str, ...] = ()) -> Digests:
    """Rows and a hash of each table that exists."""
    found = {}
    for table in all_tables():
        if table.name not in (*OF_THE_RUN, *without) and warehouse.exists(table):
            found[table.name] = digest(
                warehouse.read(table), leave_out=(*table.volatile, *OF_THE_PLACE.get(table.name, ()))
            )
    return found


def digest(frame: DataFrame, *, leave_out: tuple[str, ...] = ()) -> tuple[int, int]:
    """Rows of a frame and a hash that does not depend on their order."""
    fields = [field for field in frame.schema.fields if field.name not in leave_out]
    # Spark's hash skips nulls: without their places a value that moved to the next column would look the same.
    nulls = [F.col(field.name).isNull() for field in fields if field.nullable]
    row = F.xxhash64(*map(_comparable, fields), *nulls).cast("decimal(38,0)")
    found = frame.select(row.alias("h")).agg(F.count("*"), F.coalesce(F.sum("h"), F.lit(0))).first()
    assert found is not None
    return int(found[0]), int(found[1])


def _comparable(field: T.StructField) -> Column:
    """Maps have no order and no hash; their sorted entries do."""
    if isinstance(field.dataType, T.MapType):
        return F.to_json(F.array_sort(F.map_entries(field.name)))
    return F.col(field.name)
