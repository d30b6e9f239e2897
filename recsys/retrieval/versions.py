"""What names a slice or a version: constant columns, and the row of `models` that makes a version visible."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import recsys
from recsys import tables


def stamped(frame: DataFrame, **values: Any) -> DataFrame:
    """Put a frame under its slice: one column with the same value in every row for each name given."""
    return frame.select("*", *(F.lit(value).alias(name) for name, value in values.items()))


def version_row(
    spark: SparkSession,
    *,
    version: str,
    kind: str,
    as_of: datetime,
    config: str,
    metrics: Mapping[str, float],
    data_versions: Mapping[str, int],
) -> DataFrame:
    """Make the one row of `models` for a version that lives in tables. It is written last.

    Parameters
    ----------
    config : str
        Resolved config as JSON.
    data_versions : mapping of str to int
        Delta version of each table that the fit read.
    """
    values: dict[str, Any] = {
        "model_version": version,
        "kind": kind,
        "as_of": as_of,
        "created_at": datetime.now(UTC),
        "path": None,
        "config": config,
        "code_version": recsys.__version__,
        "metrics": dict(metrics),
        "data_versions": dict(data_versions),
        "checksums": {},
    }
    rows: list[tuple[Any, ...]] = [tuple(values[name] for name in tables.MODELS.column_names)]
    return spark.createDataFrame(rows, tables.MODELS.ddl())
