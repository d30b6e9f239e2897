"""A frame made ready for its table: columns selected, ordered and cast; keys checked to be unique."""

from __future__ import annotations

from typing import cast

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.data import Table
from recsys.data.sql import quote
from recsys.errors import DataError


def schema_of(table: Table) -> T.StructType:
    """A table's columns as a Spark schema."""
    # Spark 3.5 has the parser under its private name only.
    parse = getattr(T.StructType, "fromDDL", None) or T._parse_datatype_string
    return cast(T.StructType, parse(table.ddl()))


def conform(frame: DataFrame, table: Table) -> DataFrame:
    """Select a table's columns in its order and cast them to its types.

    Raises
    ------
    DataError
        If the frame lacks a column of the table.
    """
    missing = [name for name in table.column_names if name not in frame.columns]
    if missing:
        raise DataError(f"table {table.name}: the frame to write lacks {', '.join(missing)}")
    return frame.select(*(F.col(c.name).cast(c.type).alias(c.name) for c in table.columns))


def require_unique(frame: DataFrame, table: Table) -> int:
    """Check that no key occurs twice and that no key column is null.

    Returns
    -------
    int
        Number of rows of the frame.

    Raises
    ------
    DataError
        With the number of repeated keys; the keys themselves may be personal and are not shown.
    """
    nulls = " OR ".join(f"{quote(column)} IS NULL" for column in table.key)
    found = (
        frame.groupBy(*table.key)
        .agg(F.count(F.lit(1)).alias("_copies"))
        .agg(
            F.sum("_copies").alias("rows"),
            F.sum(F.expr(f"CASE WHEN _copies > 1 OR {nulls} THEN 1 ELSE 0 END")).alias("repeated"),
            F.sum(F.expr(f"CASE WHEN {nulls} THEN 1 ELSE 0 END")).alias("nulls"),
        )
        .first()
    )
    if found is None or found["rows"] is None:
        return 0
    if found["repeated"]:
        key = ", ".join(table.key)
        raise DataError(
            f"table {table.name}: {found['repeated']} values of the key ({key}) occur more than once or hold a null "
            f"({found['nulls']} with a null); nothing was written"
        )
    return int(found["rows"])
