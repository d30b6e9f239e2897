"""Fitted models as files: settings as JSON, frames as Parquet. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys.errors import DataError

_SETTINGS = "settings.json"


def write(path: str, settings: Mapping[str, Any], frames: Mapping[str, DataFrame], *, overwrite: bool) -> None:
    """Write frames, each to a directory of its own, and the settings last.

    Raises
    ------
    DataError
        If something is there and `overwrite` is not set.
    """
    spark = next(iter(frames.values())).sparkSession
    if not overwrite and _settings(spark, path) is not None:
        raise DataError(f"{path} already holds a model; give another path, or overwrite=True")
    for name, frame in frames.items():
        frame.write.mode("overwrite").parquet(f"{path}/{name}")
    text = spark.createDataFrame([(json.dumps(dict(settings), sort_keys=True),)], "value string")
    text.coalesce(1).write.mode("overwrite").text(f"{path}/{_SETTINGS}")


def read_settings(spark: SparkSession, path: str) -> dict[str, Any]:
    """Read the settings of a saved model.

    Raises
    ------
    DataError
        If there is none.
    """
    found = _settings(spark, path)
    if found is None:
        raise DataError(f"{path} holds no saved model; give the path that was given to save")
    return found


def read_frame(spark: SparkSession, path: str, name: str) -> DataFrame:
    """Read one frame of a saved model."""
    return spark.read.parquet(f"{path}/{name}")


def _settings(spark: SparkSession, path: str) -> dict[str, Any] | None:
    try:
        row = spark.read.text(f"{path}/{_SETTINGS}").first()
    except Exception as error:
        if "PATH_NOT_FOUND" in str(error) or "Path does not exist" in str(error):
            return None
        raise
    found: dict[str, Any] | None = None if row is None else json.loads(row["value"])
    return found
