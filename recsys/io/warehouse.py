"""The warehouse: every table of `recsys.tables`, in path mode or catalog mode, behind the same few verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys import progress
from recsys.config.sections import WarehouseConfig
from recsys.errors import DataError
from recsys.io import ddl
from recsys.io.contract import conform, require_unique, schema_of
from recsys.io.literals import condition, literal, quote
from recsys.tables import BY_NAME, Table

MADE_BY = {
    "events": "clean",
    "impressions": "clean",
    "items": "clean",
    "users": "clean",
    "quarantine": "clean",
    "user_index": "index",
    "item_index": "index",
    "user_daily": "features",
    "item_daily": "features",
    "user_features": "features",
    "item_features": "features",
    "als_user_factors": "train_als",
    "als_item_factors": "train_als",
    "item_neighbors": "neighbors",
    "popular_items": "popular",
    "candidates": "candidates",
    "ctr_examples": "ctr_examples",
    "models": "train_ctr",
    "ranked": "rank",
    "recommendations": "publish",
    "metrics": "evaluate",
}


@dataclass(frozen=True)
class Written:
    """What a write did: rows written and the Delta version that holds them."""

    rows: int
    version: int


class Warehouse:
    """The project's tables under one directory (path mode) or one schema of a catalog (catalog mode).

    Parameters
    ----------
    spark : SparkSession
        A session with Delta.
    config : WarehouseConfig
        Where the tables live.
    """

    def __init__(self, spark: SparkSession, config: WarehouseConfig) -> None:
        self.spark = spark
        self.config = config
        self.root = config.path if "://" in config.path else str(Path(config.path).expanduser().absolute())

    # -- names

    def location(self, table: Table) -> str:
        """The table as SQL names it: delta.`path` or catalog.schema.table."""
        if self.config.database_name is None:
            return f"delta.{quote(f'{self.root}/{table.name}')}"
        parts = [part for part in (self.config.catalog, self.config.database_name, table.name) if part]
        return ".".join(quote(part) for part in parts)

    def path(self, *parts: str) -> str:
        """A directory or file beside the tables: bundles, snapshots, reports.

        Never inside one: VACUUM deletes whatever a table's log does not know.
        """
        if parts[0] in BY_NAME:
            raise ValueError(f"{parts[0]} is a table; files of another kind need a directory of their own")
        return "/".join([self.root, *parts])

    def exists(self, table: Table) -> bool:
        """Whether the table has been created."""
        if self.config.database_name is None:
            return DeltaTable.isDeltaTable(self.spark, f"{self.root}/{table.name}")
        return self.spark.catalog.tableExists(self.location(table).replace("`", ""))

    def version(self, table: Table) -> int:
        """Latest Delta version of the table."""
        if self.config.database_name is None:
            quick = _snapshot_version(self.spark, f"{self.root}/{table.name}")
            if quick is not None:
                return quick
        return int(self.delta(table).history(1).select("version").first()["version"])  # type: ignore[index]

    def counts(self, tables: Iterable[Table]) -> dict[str, int]:
        """Rows of the tables that exist, whatever the instant, in one query."""
        existing = [table for table in tables if self.exists(table)]
        if not existing:
            return {}
        named = (self.delta(table).toDF().select(F.lit(table.name).alias("name")) for table in existing)
        counted = reduce(DataFrame.union, named).groupBy("name").count().collect()
        rows = {row["name"]: row["count"] for row in counted}
        return {table.name: rows.get(table.name, 0) for table in existing}

    # -- reading

    def read(
        self,
        table: Table,
        *,
        before: datetime | None = None,
        since: datetime | None = None,
        valid_at: datetime | None = None,
        where: Mapping[str, Any] | None = None,
        version: int | None = None,
        required: bool = True,
    ) -> DataFrame:
        """Read a table, or the part of it that an instant allows.

        Parameters
        ----------
        before, since : datetime, optional
            Bounds on the table's time column: strictly earlier, and at or later.
        valid_at : datetime, optional
            For `items` and `users`: the row of each entity that was valid just before that instant, without entities
            that began at or after it (`added_at`, `signed_up_at`). `valid_to` and `is_current` are left out, because
            they tell of the future.
        where : mapping, optional
            Column to value (or list of values).
        version : int, optional
            Delta version to read instead of the latest.
        required : bool
            Whether a missing table is an error; otherwise an empty frame with the table's columns is returned.

        Raises
        ------
        DataError
            Naming the table and the job that makes it, when it is missing and required.
        """
        if not self.exists(table):
            if required:
                job = MADE_BY.get(table.name, "?")
                raise DataError(f"table {table.name} does not exist in {self.root}; run the job {job} first")
            return self.spark.createDataFrame([], schema_of(table))
        progress.current().reads[table.name] = self.version(table) if version is None else version
        frame = self._frame(table, version)
        if where:
            frame = frame.where(condition(where))
        if before is not None or since is not None:
            frame = frame.where(_time_bounds(table, before, since))
        if valid_at is not None:
            return _valid_at(table, frame, valid_at)
        return frame.select(*table.column_names)

    def made_for(self, table: Table, as_of: datetime) -> DataFrame:
        """Read what a run date's slice holds of an instant; two instants of one day share the slice.

        Raises
        ------
        DataError
            Naming the job that makes it, if the slice is empty or another instant's.
        """
        found = self.read(table, where={"run_date": as_of.date(), "as_of": as_of})
        if found.isEmpty():
            raise DataError(
                f"table {table.name} holds nothing for {as_of:%Y-%m-%dT%H:%M:%SZ}; "
                f"run the job {MADE_BY[table.name]} for this as_of first"
            )
        return found

    def _frame(self, table: Table, version: int | None) -> DataFrame:
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        if self.config.database_name is None:
            return reader.load(f"{self.root}/{table.name}")
        return reader.table(self.location(table))

    # -- writing

    def replace(self, table: Table, frame: DataFrame, *, where: Mapping[str, Any]) -> Written:
        """Replace exactly one slice of a table, atomically; create the table if need be.

        Parameters
        ----------
        where : mapping
            Column to value (or list of values) that names the slice; every row of `frame` must lie in it. Empty: the
            whole table.

        Raises
        ------
        DataError
            If the key is not unique, a required column is null, or a check of the table fails.
        """
        with progress.step(f"write {table.name}") as this:
            with ddl.written_once(conform(frame, table)) as stored:
                self._ensure(table, stored)
                rows = require_unique(stored, table)
                writer = stored.write.format("delta").mode("overwrite")
                if where:
                    writer = writer.option("replaceWhere", condition(where))
                self._save(table, writer)
            return _recorded(table, this, Written(rows, self.version(table)))

    def clear(self, table: Table, *, where: Mapping[str, Any]) -> None:
        """Empty one slice of a table; nothing is committed where there is no such row."""
        if self.exists(table) and not self._frame(table, None).where(condition(where)).isEmpty():
            self.delta(table).delete(condition(where))

    def merge(
        self,
        table: Table,
        frame: DataFrame,
        *,
        update: bool,
        fill: Sequence[str] = (),
        prune: Mapping[str, Any] | None = None,
    ) -> Written:
        """Merge rows into a table by its key: new keys are inserted, known ones updated, filled in or left alone.

        Parameters
        ----------
        update : bool
            Whether rows with a known key replace the stored ones.
        fill : sequence of str
            Columns that a row with a known key fills where the stored one has null.
        prune : mapping, optional
            Column to list of values that all rows of `frame` lie in: only matching files are searched for the key.
            Only right where equal keys have equal values of that column.

        Raises
        ------
        DataError
            If the source holds a key twice.
        """
        with progress.step(f"merge into {table.name}") as this:
            with ddl.written_once(conform(frame, table)) as stored:
                self._ensure(table, stored)
                before = self.version(table)
                require_unique(stored, table)
                on = " AND ".join(f"t.{quote(column)} = s.{quote(column)}" for column in table.key)
                if prune:
                    on += f" AND {condition(prune, alias='t')}"
                merge = self.delta(table).alias("t").merge(stored.alias("s"), on)
                columns = {quote(name): f"s.{quote(name)}" for name in table.column_names}
                if update:
                    merge = merge.whenMatchedUpdate(set=columns)  # type: ignore[arg-type]
                elif fill:
                    empty = " OR ".join(f"(t.{quote(c)} IS NULL AND s.{quote(c)} IS NOT NULL)" for c in fill)
                    filled = {quote(c): f"coalesce(t.{quote(c)}, s.{quote(c)})" for c in fill}
                    merge = merge.whenMatchedUpdate(condition=empty, set=filled)  # type: ignore[arg-type]
                with ddl.naming_violations(table):
                    counts = merge.whenNotMatchedInsert(values=columns).execute()  # type: ignore[arg-type]
            rows = self._rows_merged(table, counts, since=before)
            return _recorded(table, this, Written(rows, self.version(table)))

    def _rows_merged(self, table: Table, counts: DataFrame | None, *, since: int) -> int:
        """Rows inserted and updated by a merge; before version 4, Delta tells them in its history alone."""
        merged = counts.first() if counts is not None else None
        if merged is not None:
            return int(merged["num_inserted_rows"] + merged["num_updated_rows"])
        last = self.delta(table).history(1).select("version", "operationMetrics").first()
        # A merge that finds nothing to do makes no commit; the newest one is then somebody else's.
        if last is None or last["version"] <= since:
            return 0
        metrics = last["operationMetrics"]
        return sum(int(metrics.get(f"numTargetRows{done}", 0)) for done in ("Inserted", "Updated"))

    def optimize(self, table: Table, *, where: Mapping[str, Any] | None = None) -> None:
        """Compact the small files of a slice."""
        with progress.step(f"optimize {table.name}"):
            builder = self.delta(table).optimize()
            if where:
                builder = builder.where(condition(where))
            builder.executeCompaction()

    def _save(self, table: Table, writer: Any) -> None:
        with ddl.naming_violations(table):
            if self.config.database_name is None:
                writer.save(f"{self.root}/{table.name}")
            else:
                writer.saveAsTable(self.location(table))

    def create(self, table: Table, *, period: str = "month") -> None:
        """Create the table, empty, if it does not exist."""
        if not self.exists(table):
            ddl.create(self.spark, table, self.location(table), period)

    def _ensure(self, table: Table, frame: DataFrame) -> None:
        if self.exists(table):
            ddl.evolve(self.spark, table, self.location(table), self.delta(table))
        else:
            self.create(table, period=ddl.choose_period(frame, table, self.config.period))

    def delta(self, table: Table) -> DeltaTable:
        """The table as Delta's own object, for the verbs that only `recsys.io` needs."""
        if self.config.database_name is None:
            return DeltaTable.forPath(self.spark, f"{self.root}/{table.name}")
        return DeltaTable.forName(self.spark, self.location(table))


def _snapshot_version(spark: SparkSession, path: str) -> int | None:
    """The version that open-source Delta's own log object tells at no query's cost; None where Delta is another."""
    try:
        # By its whole name: name by name, the gateway would look for each package among the classes of every jar.
        log = getattr(spark._jvm, "org.apache.spark.sql.delta.DeltaLog")  # noqa: B009
        return int(log.forTableWithSnapshot(spark._jsparkSession, path)._2().version())
    except (TypeError, Py4JError):
        return None


def _recorded(table: Table, this: progress.Step, written: Written) -> Written:
    this.rows = written.rows
    recorder = progress.current()
    recorder.writes[table.name] = written.version
    recorder.rows[table.name] = recorder.rows.get(table.name, 0) + written.rows
    return written


def _time_bounds(table: Table, before: datetime | None, since: datetime | None) -> str:
    if table.time_column is None:
        raise ValueError(f"table {table.name} has no time column to bound")
    bounds = []
    for instant, sign, date_sign in ((before, "<", "<="), (since, ">=", ">=")):
        if instant is None:
            continue
        bounds.append(f"{quote(table.time_column)} {sign} {literal(instant)}")
        if table.period_column:
            # Says the same of the partition column, so that whole partitions are passed over.
            bounds.append(f"{quote(table.period_column)} {date_sign} {literal(instant.date())}")
    return " AND ".join(bounds)


def _valid_at(table: Table, frame: DataFrame, instant: datetime) -> DataFrame:
    entity = table.key[0]
    newest = W.Window.partitionBy(entity).orderBy(F.col("valid_from").desc())
    kept = [name for name in table.column_names if name not in ("valid_to", "is_current")]
    states = (
        frame.where(_time_bounds(table, instant, None))
        .select(*kept, F.row_number().over(newest).alias("_newest"))
        .where("_newest = 1")
        .select(*kept)
    )
    if table.since_column is None:
        return states
    began = F.col(table.since_column)
    return states.where(began.isNull() | (began < F.lit(instant)))
