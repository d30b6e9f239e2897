"""The part of a table that an instant allows to be seen."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.data import Table
from recsys.data.sql import literal, quote


def between(table: Table, *, since: datetime | None = None, before: datetime | None = None) -> str:
    """Write the condition on a table's time column: at or after one instant, strictly before another.

    Raises
    ------
    ValueError
        If the table has no time column.
    """
    if table.time_column is None:
        raise ValueError(f"table {table.name} has no time column to bound")
    bounds = []
    for instant, sign, date_sign in ((before, "<", "<="), (since, ">=", ">=")):
        if instant is None:
            continue
        bounds.append(f"{quote(table.time_column)} {sign} {literal(instant)}")
        if table.period_column:
            # The same bound on the partition column, so that whole partitions are skipped.
            bounds.append(f"{quote(table.period_column)} {date_sign} {literal(instant.date())}")
    return " AND ".join(bounds)


def states_at(table: Table, frame: DataFrame, instant: datetime) -> DataFrame:
    """Return the state of each entity just before an instant, without entities that began at or after it.

    `valid_to` and `is_current` are left out, because they tell of the future.
    """
    entity = table.key[0]
    newest = W.Window.partitionBy(entity).orderBy(F.col("valid_from").desc())
    kept = [name for name in table.column_names if name not in ("valid_to", "is_current")]
    states = (
        frame.where(between(table, before=instant))
        .select(*kept, F.row_number().over(newest).alias("_newest"))
        .where("_newest = 1")
        .select(*kept)
    )
    if table.since_column is None:
        return states
    began = F.col(table.since_column)
    return states.where(began.isNull() | (began < F.lit(instant)))
