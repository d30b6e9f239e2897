"""The three writes of the `runs` table, each one Delta commit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import tables
from recsys.io.contract import schema_of
from recsys.io.literals import literal
from recsys.io.warehouse import Warehouse


def insert_if_free(warehouse: Warehouse, row: DataFrame, held: str) -> None:
    """Insert a run's row unless a running row for the slice is there (a rival's insert makes this one conflict)."""
    merge = (
        warehouse.delta(tables.RUNS)
        .alias("t")
        .merge(row.alias("s"), f"t.slice = {literal(held)} AND t.status = 'running'")
    )
    merge.whenNotMatchedInsertAll().execute()


def mark_lost(warehouse: Warehouse, run_id: str) -> None:
    """Say of a run that its process died."""
    finish(warehouse, run_id, {"status": "lost", "finished_at": datetime.now(UTC), "error": "the process died"})


def finish(warehouse: Warehouse, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run's row, while it is running."""
    fields = [field for field in schema_of(tables.RUNS).fields if field.name in values]
    schema = T.StructType([T.StructField(field.name, field.dataType) for field in fields])
    row = warehouse.spark.createDataFrame([tuple(values[field.name] for field in fields)], schema)
    merge = (
        warehouse.delta(tables.RUNS)
        .alias("t")
        .merge(row.alias("s"), f"t.run_id = {literal(run_id)} AND t.status = 'running'")
    )
    merge.whenMatchedUpdate(set={name: F.col(f"s.{name}") for name in schema.names}).execute()


def is_conflict(error: Exception) -> bool:
    """Tell whether a write lost against another commit and may be tried again."""
    return "Concurrent" in type(error).__name__ or "io.delta.exceptions.Concurrent" in str(error)
