"""What a table is at one version: asked once, and answered without a query where Delta's log can be read directly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql import types as T


@dataclass(frozen=True)
class TableState:
    """A table at one version.

    Attributes
    ----------
    version : int
        Delta version.
    columns : dict of str to str
        Name to type, as Spark writes types.
    partitions : tuple of str
        Partition columns.
    properties : dict of str to str
        Table properties, constraints among them.
    created : int
        When the table was created: milliseconds since 1970.
    """

    version: int
    columns: dict[str, str]
    partitions: tuple[str, ...]
    properties: dict[str, str]
    created: int


def state_at_path(spark: SparkSession, path: str) -> TableState | None:
    """Return the newest state of a table by its directory; None if there is no table."""
    try:
        # By its full name: part by part, the gateway would search every jar for each package.
        log: Any = getattr(spark._jvm, "org.apache.spark.sql.delta.DeltaLog")  # noqa: B009
        snapshot = log.forTableWithSnapshot(spark._jsparkSession, path)._2()
        version, told = int(snapshot.version()), snapshot.metadata().json()
    except (TypeError, Py4JError):  # a Delta that is not the open-source one
        return _asked(spark, DeltaTable.forPath(spark, path)) if DeltaTable.isDeltaTable(spark, path) else None
    if version < 0:
        return None
    found = json.loads(told)
    metadata = found.get("metaData", found)
    fields = T.StructType.fromJson(json.loads(metadata["schemaString"])).fields
    return TableState(
        version=version,
        columns={field.name: field.dataType.simpleString() for field in fields},
        partitions=tuple(metadata.get("partitionColumns", ())),
        properties=dict(metadata.get("configuration", {})),
        created=int(metadata.get("createdTime") or 0),
    )


def state_in_catalog(spark: SparkSession, name: str) -> TableState | None:
    """Return the newest state of a table by its quoted name; None if there is no table."""
    return _asked(spark, DeltaTable.forName(spark, name)) if spark.catalog.tableExists(name) else None


def _asked(spark: SparkSession, delta: DeltaTable) -> TableState:
    """Ask by queries, as any Delta allows."""
    detail = delta.detail().selectExpr("properties", "partitionColumns", "unix_millis(createdAt) AS created").first()
    newest = delta.history(1).select("version").first()
    assert detail is not None and newest is not None
    return TableState(
        version=int(newest["version"]),
        columns={field.name: field.dataType.simpleString() for field in delta.toDF().schema.fields},
        partitions=tuple(detail["partitionColumns"]),
        properties=dict(detail["properties"] or {}),
        created=int(detail["created"] or 0),
    )
