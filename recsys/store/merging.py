"""A keyed MERGE into a table, and how many rows it inserted or updated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.sql import literal, quote
from recsys.store.instants import period_of
from recsys.store.writes import Merge

_GONE: Final = "__gone"
"""Marks, among the rows of a merge, the keys of what it removes."""


def merging(delta: DeltaTable, write: Merge, frame: DataFrame, *, columns: Sequence[str]) -> DeltaMergeBuilder:
    """Build the MERGE of a write; its rows are `frame`, and `columns` are those of the stored table.

    Rows of one dataset never change those of another that have the same key.
    """
    table, equal = write.table, "=" if write.remove is None else "<=>"
    on = " AND ".join(f"t.{quote(column)} {equal} s.{quote(column)}" for column in table.key)
    if write.since is not None and table.period_column:
        column, value = period_of(table.period_column, write.since, columns)
        on += f" AND t.{quote(column)} >= {literal(value)}"
    own = "t.source = s.source" if "source" in table.column_names else "true"
    if write.remove is not None:
        keys = write.remove.select(*table.key, F.lit(True).alias(_GONE))
        frame = frame.withColumn(_GONE, F.lit(False)).unionByName(keys, allowMissingColumns=True)
    merge = delta.alias("t").merge(frame.alias("s"), on)
    if write.remove is not None:
        merge = merge.whenMatchedDelete(f"s.{_GONE}")
    values = {quote(name): f"s.{quote(name)}" for name in table.column_names}
    if write.update:
        merge = merge.whenMatchedUpdate(condition=own, set=values)  # type: ignore[arg-type]
    elif write.fill or write.flags:
        empty = [f"(t.{quote(c)} IS NULL AND s.{quote(c)} IS NOT NULL)" for c in write.fill]
        other = [f"(s.{quote(c)} <> t.{quote(c)})" for c in write.flags]
        filled = {quote(c): f"coalesce(t.{quote(c)}, s.{quote(c)})" for c in write.fill}
        filled |= {quote(c): f"s.{quote(c)}" for c in write.flags}
        changes = f"{own} AND ({' OR '.join([*empty, *other])})"
        merge = merge.whenMatchedUpdate(condition=changes, set=filled)  # type: ignore[arg-type]
    new = None if write.remove is None else f"NOT s.{_GONE}"
    return merge.whenNotMatchedInsert(condition=new, values=values)  # type: ignore[arg-type]


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
