"""A keyed MERGE into a table, and how many rows it inserted or updated."""

from __future__ import annotations

from collections.abc import Sequence

from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.sql import DataFrame

from recsys.data.sql import literal, quote
from recsys.store.instants import period_of
from recsys.store.writes import Merge


def merging(delta: DeltaTable, write: Merge, frame: DataFrame, *, columns: Sequence[str]) -> DeltaMergeBuilder:
    """Build the MERGE of a write; its rows are `frame`, and `columns` are those of the stored table."""
    table = write.table
    on = " AND ".join(f"t.{quote(column)} = s.{quote(column)}" for column in table.key)
    if write.since is not None and table.period_column:
        column, value = period_of(table.period_column, write.since, columns)
        on += f" AND t.{quote(column)} >= {literal(value)}"
    merge = delta.alias("t").merge(frame.alias("s"), on)
    values = {quote(name): f"s.{quote(name)}" for name in table.column_names}
    if write.update:
        merge = merge.whenMatchedUpdate(set=values)  # type: ignore[arg-type]
    elif write.fill or write.flags:
        empty = [f"(t.{quote(c)} IS NULL AND s.{quote(c)} IS NOT NULL)" for c in write.fill]
        other = [f"(s.{quote(c)} <> t.{quote(c)})" for c in write.flags]
        filled = {quote(c): f"coalesce(t.{quote(c)}, s.{quote(c)})" for c in write.fill}
        filled |= {quote(c): f"s.{quote(c)}" for c in write.flags}
        merge = merge.whenMatchedUpdate(condition=" OR ".join([*empty, *other]), set=filled)  # type: ignore[arg-type]
    return merge.whenNotMatchedInsert(values=values)  # type: ignore[arg-type]


def rows_merged(delta: DeltaTable, counts: DataFrame | None, *, since: int) -> int:
    """Rows inserted and updated by the merge that has just run.

    Parameters
    ----------
    counts : DataFrame, optional
        What the merge returned; before version 4, Delta returns nothing and only its history has the numbers.
    since : int
        Version of the table before the merge.
    """
    if counts is not None:
        merged = counts.first()
        return int(merged["num_inserted_rows"] + merged["num_updated_rows"]) if merged is not None else 0
    last = delta.history(1).select("version", "operation", "operationMetrics").first()
    # A merge that finds nothing to do makes no commit; the newest one is then an earlier one.
    if last is None or last["version"] <= since or last["operation"] != "MERGE":
        return 0
    return sum(int(last["operationMetrics"].get(f"numTargetRows{done}", 0)) for done in ("Inserted", "Updated"))
