"""Factors under a model version: the column that names it and the row that makes it visible."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

import recsys
from recsys import tables


def stamped(factors: DataFrame, version: str) -> DataFrame:
    """Put factors under a version."""
    return factors.withColumn("model_version", F.lit(version))


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
    values = {
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
    schema = T.StructType.fromDDL(tables.MODELS.ddl())
    return spark.createDataFrame([tuple(values[name] for name in tables.MODELS.column_names)], schema)
