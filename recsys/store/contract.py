"""A frame made ready for its table: columns selected, ordered and cast; keys, nulls and rules checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from pyspark.sql import DataFrame, Row
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


@dataclass(frozen=True)
class Size:
    """How many rows there are, over how many days of the table's `period_column` (0 where it has none)."""

    rows: int = 0
    days: int = 0


def require_valid(frame: DataFrame, table: Table) -> Size:
    """Check in one query that keys are unique, required columns are filled and every check of the table holds.

    Raises
    ------
    DataError
        With the number of repeated keys, the column or the rule; the keys themselves may be personal and are not shown.
    """
    found = _measured(frame, table)
    if found is None or found["rows"] is None:
        return Size()
    for place, column in enumerate(_required(table)):
        if found[f"null_{place}"]:
            raise DataError(
                f"table {table.name}: column {column} may not be null, and is in {found[f'null_{place}']} rows; "
                "nothing was written"
            )
    for name, rule in table.checks.items():
        if found[f"check_{name}"]:
            raise DataError(
                f"table {table.name}: {found[f'check_{name}']} rows break the check {name} ({rule}); "
                "nothing was written"
            )
    if found["repeated"]:
        raise DataError(
            f"table {table.name}: {found['repeated']} values of the key ({', '.join(table.key)}) occur more than once; "
            "nothing was written"
        )
    return Size(int(found["rows"]), int(found["days"] or 0))


def _required(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.nullable or column.name in table.key]


def _measured(frame: DataFrame, table: Table) -> Row | None:
    broken = {f"null_{place}": f"{quote(name)} IS NULL" for place, name in enumerate(_required(table))}
    # As Delta judges them: a rule that is null is broken.
    broken |= {f"check_{name}": f"NOT coalesce({rule}, false)" for name, rule in table.checks.items()}
    counted = [F.sum(F.expr(f"CASE WHEN {rule} THEN 1 ELSE 0 END")).alias(name) for name, rule in broken.items()]
    day = F.col(table.period_column) if table.period_column else F.lit(None).cast("date")
    return (
        frame.groupBy(*table.key)
        .agg(F.count(F.lit(1)).alias("_copies"), F.min(day).alias("_first"), F.max(day).alias("_last"), *counted)
        .agg(
            F.sum("_copies").alias("rows"),
            (F.datediff(F.max("_last"), F.min("_first")) + 1).alias("days"),
            F.sum(F.expr("CASE WHEN _copies > 1 THEN 1 ELSE 0 END")).alias("repeated"),
            *(F.sum(name).alias(name) for name in broken),
        )
        .first()
    )
