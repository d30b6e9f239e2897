"""The row of `models` that makes a ranker version visible. It is written last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

import recsys
from recsys import tables
from recsys.ranking.bundle import ModelBundle


def model_row(
    spark: SparkSession,
    bundle: ModelBundle,
    *,
    version: str,
    as_of: datetime,
    path: str,
    config: str,
    data_versions: Mapping[str, int],
) -> DataFrame:
    """Make the one row of `models` for a saved bundle.

    Parameters
    ----------
    path : str
        Directory that the bundle was saved to.
    config : str
        Resolved config as JSON.
    data_versions : mapping of str to int
        Delta version of each table that the fit read.
    """
    values: dict[str, Any] = {
        "model_version": version,
        "kind": "ctr",
        "as_of": as_of,
        "created_at": datetime.now(UTC),
        "path": path,
        "config": config,
        "code_version": recsys.__version__,
        "metrics": dict(bundle.metrics),
        "data_versions": dict(data_versions),
        "checksums": bundle.checksums,
    }
    return spark.createDataFrame([tuple(values[name] for name in tables.MODELS.column_names)], tables.MODELS.ddl())
