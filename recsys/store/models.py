"""What names a slice or a version: constant columns, and the row of `models` that makes a version visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import recsys
from recsys import data


def stamped(frame: DataFrame, values: Mapping[str, Any]) -> DataFrame:
    """Put a frame under its slice: one column with the same value in every row for each name."""
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
    path: str | None = None,
    checksums: Mapping[str, str] | None = None,
    verdict: str | None = None,
    curve: Sequence[Sequence[Any]] | None = None,
) -> DataFrame:
    """Make the one row of `models` for a version. It is written last.

    Parameters
    ----------
    config : str
        Resolved config as JSON.
    data_versions : mapping of str to int
        Delta version of each table that the fit read.
    path : str, optional
        Directory that the version was saved to, relative to the warehouse; None where tables hold it all.
    checksums : mapping of str to str, optional
        SHA-256 of each file of the directory.
    verdict : str, optional
        Of a ranker: whether it is used, and why.
    curve : sequence of (head, weight, ndcg, snips), optional
        Of a ranker: what other weights would have given.
    """
    values: dict[str, Any] = {
        "model_version": version,
        "kind": kind,
        "as_of": as_of,
        "created_at": datetime.now(UTC),
        "path": path,
        "config": config,
        "code_version": recsys.__version__,
        "metrics": dict(metrics),
        "data_versions": dict(data_versions),
        "checksums": dict(checksums or {}),
        "verdict": verdict,
        "curve": None if curve is None else [tuple(point) for point in curve],
    }
    rows: list[tuple[Any, ...]] = [tuple(values[name] for name in data.MODELS.column_names)]
    return spark.createDataFrame(rows, data.MODELS.ddl())
