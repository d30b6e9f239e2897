"""Replaces a whole Delta table, rows, columns and partitions alike, in one commit.

Delta's own writers can't: an overwrite with another schema makes every column nullable, and a table that is replaced
with its full declaration is empty until the next commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from recsys.data import CONTRACT_VERSION, Table
from recsys.errors import EnvironmentProblem
from recsys.store.contract import schema_of
from recsys.store.ddl import CONSTRAINT, VERSION_PROPERTY

_DELTA = "org.apache.spark.sql.delta"


@dataclass(frozen=True)
class Rewriting:
    """A transaction of open-source Delta on one table. Another writer's commit in between makes it fail.

    Attributes
    ----------
    spark : SparkSession
    path : str
        Directory of the table.
    transaction : object
        Delta's transaction, in the JVM.
    """

    spark: SparkSession
    path: str
    transaction: Any

    @classmethod
    def of(cls, spark: SparkSession, path: str) -> Rewriting:
        """Start a transaction on the table's newest version.

        Raises
        ------
        EnvironmentProblem
            If the session's Delta is not the open-source one.
        """
        try:
            log = getattr(spark._jvm, f"{_DELTA}.DeltaLog").forTable(spark._jsparkSession, path)
        except TypeError as error:
            raise EnvironmentProblem(
                "this session's Delta is not the open-source one, which is needed to rewrite a table in one commit; "
                "migrate the warehouse with open-source Spark"
            ) from error
        return cls(spark, path, log.startTransaction())

    def rows(self) -> DataFrame:
        """The table as it was when the transaction began."""
        version = self.transaction.readVersion()
        return self.spark.read.format("delta").option("versionAsOf", version).load(self.path)

    def commit(self, rows: DataFrame, table: Table, *, properties: Mapping[str, str]) -> None:
        """Make the table what its contract says, with these rows.

        Parameters
        ----------
        rows : DataFrame
            All rows, with the columns of the contract; found to hold it.
        properties : mapping of str to str
            The table's properties; all but checks and the version of the contract stay.
        """
        own = {key: value for key, value in properties.items() if not key.startswith(CONSTRAINT)}
        checks = {f"{CONSTRAINT}{name}": rule for name, rule in table.checks.items()}
        self._declare(table, {**own, **checks, VERSION_PROPERTY: str(CONTRACT_VERSION)})
        old = self.transaction.filterFiles().iterator()
        actions = []
        while old.hasNext():
            actions.append(old.next().remove())
        new = self.transaction.writeFiles(rows._jdf).iterator()
        while new.hasNext():
            actions.append(new.next())
        operation = getattr(getattr(self.spark._jvm, f"{_DELTA}.DeltaOperations$ManualUpdate$"), "MODULE$")
        self.transaction.commit(self._scala.toSeq(actions), operation)

    def _declare(self, table: Table, properties: Mapping[str, str]) -> None:
        now = self.transaction.metadata()
        columns = zip(schema_of(table).fields, table.columns, strict=True)
        schema = T.StructType(
            [T.StructField(f.name, f.dataType, f.nullable, {"comment": c.comment}) for f, c in columns]
        )
        self.transaction.updateMetadataForTableOverwrite(
            now.copy(
                now.id(),
                now.name(),
                table.comment,
                now.format(),
                schema.json(),
                self._scala.toSeq(list(table.partitions)),
                self._scala.toScalaMap(dict(properties)),
                now.createdTime(),
            )
        )

    @property
    def _scala(self) -> Any:
        return getattr(self.spark._jvm, "org.apache.spark.api.python.PythonUtils")  # noqa: B009
