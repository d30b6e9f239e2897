"""The three writes of the `runs` table, each one Delta commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys import tables
from recsys.io.literals import literal
from recsys.io.warehouse import Warehouse


def insert_if_free(warehouse: Warehouse, row: DataFrame, held: str) -> bool:
    """Insert a run's row unless a running row for the slice is there (a rival's insert makes this one conflict).

    Returns
    -------
    bool
        Whether the row is known to have been inserted. Before version 4, Delta does not say: False then.
    """
    merge = (
        warehouse.delta(tables.RUNS)
        .alias("t")
        .merge(row.alias("s"), f"t.slice = {literal(held)} AND t.status = 'running'")
    )
    counts: DataFrame | None = merge.whenNotMatchedInsertAll().execute()
    merged = counts.first() if counts is not None else None
    return merged is not None and merged["num_inserted_rows"] == 1


def mark_lost(warehouse: Warehouse, run_id: str) -> None:
    """Say of a run that its process died."""
    finish(warehouse, run_id, {"status": "lost", "finished_at": datetime.now(UTC), "error": "the process died"})


def finish(warehouse: Warehouse, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run's row, while it is running."""
    new: dict[str, str | Column] = {
        name: _constant(value, tables.RUNS.column(name).type) for name, value in values.items()
    }
    warehouse.delta(tables.RUNS).update(f"run_id = {literal(run_id)} AND status = 'running'", new)


def _constant(value: Any, kind: str) -> Column:
    """A value of any type as a constant; maps, structs and arrays by way of JSON."""
    if isinstance(value, (dict, list)):
        return F.from_json(F.lit(json.dumps(value)), kind)
    return F.lit(value).cast(kind)


def is_conflict(error: Exception) -> bool:
    """Tell whether a write lost against another commit and may be tried again."""
    return "Concurrent" in type(error).__name__ or "io.delta.exceptions.Concurrent" in str(error)
