"""A keyed MERGE into a table, and how many rows it inserted or updated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.sql import DataFrame

from recsys.data import Table
from recsys.data.sql import condition, quote


def merging(
    delta: DeltaTable,
    table: Table,
    frame: DataFrame,
    *,
    update: bool,
    fill: Sequence[str],
    prune: Mapping[str, Any] | None,
) -> DeltaMergeBuilder:
    """Build the MERGE of `recsys.store.writes.Merge`, which documents the parameters."""
    on = " AND ".join(f"t.{quote(column)} = s.{quote(column)}" for column in table.key)
    if prune:
        on += f" AND {condition(prune, alias='t')}"
    merge = delta.alias("t").merge(frame.alias("s"), on)
    columns = {quote(name): f"s.{quote(name)}" for name in table.column_names}
    if update:
        merge = merge.whenMatchedUpdate(set=columns)  # type: ignore[arg-type]
    elif fill:
        empty = " OR ".join(f"(t.{quote(c)} IS NULL AND s.{quote(c)} IS NOT NULL)" for c in fill)
        filled = {quote(c): f"coalesce(t.{quote(c)}, s.{quote(c)})" for c in fill}
        merge = merge.whenMatchedUpdate(condition=empty, set=filled)  # type: ignore[arg-type]
    return merge.whenNotMatchedInsert(values=columns)  # type: ignore[arg-type]


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
