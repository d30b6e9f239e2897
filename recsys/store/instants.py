"""The part of a table that an instant allows to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.data import Table
from recsys.data.sql import literal, quote


def between(
    table: Table, *, since: datetime | None = None, before: datetime | None = None, columns: Sequence[str] = ()
) -> str:
    """Write the condition on a table's time column: at or after one instant, strictly before another.

    Parameters
    ----------
    columns : sequence of str
        Columns of the stored table, which tell the grain of its partitions.

    Raises
    ------
    ValueError
        If the table has no time column.
    """
    if table.time_column is None:
        raise ValueError(f"table {table.name} has no time column to bound")
    bounds = []
    for instant, sign, period_sign in ((before, "<", "<="), (since, ">=", ">=")):
        if instant is None:
            continue
        bounds.append(f"{quote(table.time_column)} {sign} {literal(instant)}")
        if table.period_column:
            # The same bound on the partition column, so that whole partitions are skipped. A bound on the date would
            # make Delta derive this one by itself, in a form that the optimizer then changes: so it would list the
            # files of the table twice.
            column, value = period_of(table.period_column, instant, columns)
            bounds.append(f"{quote(column)} {period_sign} {literal(value)}")
    return " AND ".join(bounds)


def period_of(column: str, instant: datetime, columns: Sequence[str]) -> tuple[str, date | int | str]:
    """Return the partition column of a stored table, and the partition that an instant falls into."""
    day, base = instant.astimezone(UTC).date(), column.removesuffix("_date")
    if f"{base}_year" in columns:
        return f"{base}_year", day.year
    if f"{base}_month" in columns:
        return f"{base}_month", f"{day:%Y-%m}"
    return column, day


def states_at(table: Table, frame: DataFrame, instant: datetime) -> DataFrame:
    """Return the state of each entity just before an instant, without entities that began at or after it.

    `valid_to`, `is_current`, `seen_at` and `seen_in` are left out, because they tell of the future.
    """
    entity = table.key[0]
    newest = W.Window.partitionBy(entity).orderBy(F.col("valid_from").desc())
    kept = [name for name in table.column_names if name not in ("valid_to", "is_current", "seen_at", "seen_in")]
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


def known_before(rows: DataFrame, table: Table, instant: datetime) -> DataFrame:
    """Return rows without the values that became known at or after an instant: they are null."""
    hidden = {
        name: F.when(F.col(at).isNull() | (F.col(at) < F.lit(instant)), F.col(name)) for name, at in table.known.items()
    }
    return rows.withColumns(hidden) if hidden else rows
