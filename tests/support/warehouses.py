"""Compares warehouses: one digest per table, blind to the order of rows and to columns that describe the run.

Tables are read without Spark, whose plans over so many small tables would cost far more than their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyspark.sql import functions as F

from recsys.data import Table
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
            left_out = (*table.volatile, *OF_THE_PLACE.get(table.name, ()))
            found[table.name] = digest(columns_of(warehouse, table, leave_out=left_out))
    return found


def columns_of(
    warehouse: Warehouse, table: Table, names: Sequence[str] | None = None, *, leave_out: Sequence[str] = ()
) -> pa.Table:
    """Read some columns of a table, all by default."""
    directory = warehouse.directory(table)
    rows = DeltaTable(directory)
    kept = [field.name for field in rows.schema().fields if field.name not in leave_out] if names is None else names
    # With Delta's own file system, a thread of pyarrow 16 may abort Python when it ends.
    return rows.to_pyarrow_table(columns=list(kept), filesystem=SubTreeFileSystem(directory, LocalFileSystem()))


def digest(rows: pa.Table) -> tuple[int, int]:
    """Rows of a table and a hash that does not depend on their order: a sum of the hashes of rows."""
    columns = [_comparable(rows.column(name)) for name in sorted(rows.column_names)]
    hashes = (blake2b(repr(row).encode(), digest_size=8).digest() for row in zip(*columns, strict=True))
    return rows.num_rows, sum(int.from_bytes(one, "big") for one in hashes)


def _comparable(column: pa.ChunkedArray) -> list[Any]:
    """Values as Python has them, every bit of a number in their text; maps have no order, their sorted entries do."""
    values = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if entries is None else sorted(entries) for entries in values]
    return values


WRITTEN_AT = ("started_at", "heartbeat_at", "finished_at")
"""Of `runs`, which has no volatile columns, because all of it tells of the run."""


def written_outside(warehouse: Warehouse, began: datetime, ended: datetime) -> set[str]:
    """Columns that tell when a row was written, and in some row hold another time than that of the run."""
    found = set()
    for table in (table for table in all_tables() if warehouse.exists(table)):
        for name in [name for name in (*table.volatile, *WRITTEN_AT) if name in table.column_names]:
            if table.column(name).type == "timestamp":
                outside = ~F.col(name).between(F.lit(began - timedelta(seconds=1)), F.lit(ended))
                found.update(f"{table.name}.{name}" for _ in warehouse.read(table).where(outside).limit(1).collect())
    return found
