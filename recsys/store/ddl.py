"""Creates and evolves Delta tables from their declarations: columns, comments, constraints, partitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from delta.tables import DeltaTable
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.data import CONTRACT_VERSION, Column, Table
from recsys.data.sql import literal, quote
from recsys.errors import DataError

_VERSION_PROPERTY = "recsys.contractVersion"
_CONSTRAINT = "delta.constraints."
_PERIODS = {"day": None, "month": "date_format({column}, 'yyyy-MM')", "year": "year({column})"}
_ROWS_PER_PARTITION = 100_000
"""A partition with fewer rows is not worth a file of its own."""


def choose_period(frame: DataFrame, table: Table, period: str) -> str:
    """Return the grain of a table's date partitions; `auto` looks at the rows per day of the first batch."""
    if table.period_column is None or period != "auto":
        return period
    seen = frame.agg(
        F.count(F.lit(1)).alias("rows"),
        F.datediff(F.max(table.period_column), F.min(table.period_column)).alias("days"),
    ).first()
    rows_per_day = (seen["rows"] or 0) / ((seen["days"] or 0) + 1)  # type: ignore[index]
    if rows_per_day >= _ROWS_PER_PARTITION:
        return "day"
    return "month" if rows_per_day * 30 >= _ROWS_PER_PARTITION else "year"


def create(spark: SparkSession, table: Table, location: str, period: str, *, path: str | None = None) -> None:
    """Create an empty table with its comments, NOT NULL columns, partitions and CHECK constraints, in one commit.

    Parameters
    ----------
    location : str
        The table as SQL names it.
    period : str
        Grain of its date partitions: `day`, `month` or `year`.
    path : str, optional
        Its directory, if no catalog knows the table.
    """
    builder = (
        DeltaTable.createIfNotExists(spark).comment(table.comment).property(_VERSION_PROPERTY, str(CONTRACT_VERSION))
    )
    builder = builder.location(path) if path else builder.tableName(location)
    for column in table.columns:
        builder = builder.addColumn(column.name, column.type, nullable=column.nullable, comment=column.comment)
    partitions = list(table.partitions)
    if table.period_column:
        expression = _PERIODS[period]
        if expression is None:
            partitions.append(table.period_column)
        else:
            name = f"{table.period_column.removesuffix('_date')}_{period}"
            builder = builder.addColumn(
                name,
                "int" if period == "year" else "string",
                generatedAlwaysAs=expression.format(column=table.period_column),
                comment=f"Partition: the {period} of {table.period_column}",
            )
            partitions.append(name)
    for name, rule in table.checks.items():
        builder = builder.property(f"{_CONSTRAINT}{name}", rule)
    if partitions:
        builder = builder.partitionedBy(*partitions)
    builder.execute()


def evolve(spark: SparkSession, table: Table, location: str, delta: DeltaTable) -> None:
    """Add to an existing table the columns and checks that its declaration has and it lacks.

    Raises
    ------
    DataError
        If a column's type differs from the declared one, or a new column is NOT NULL: that needs a migration.
    """
    detail = delta.detail().select("properties").first()
    properties = (detail["properties"] if detail else None) or {}
    stored = {field.name: field.dataType.simpleString() for field in delta.toDF().schema.fields}
    added = [column for column in table.columns if column.name not in stored]
    wrong = [c for c in table.columns if c.name in stored and stored[c.name] != _plain_type(c)]
    if wrong or any(not column.nullable for column in added):
        names = ", ".join(column.name for column in [*wrong, *(c for c in added if not c.nullable)])
        raise DataError(
            f"table {table.name} was written under another contract (version "
            f"{properties.get(_VERSION_PROPERTY, '?')}, now {CONTRACT_VERSION}; columns {names}); move it away and run "
            "the job that makes it again, or migrate it with ALTER TABLE"
        )
    if added:
        columns = ", ".join(f"{quote(c.name)} {c.type} COMMENT {literal(c.comment)}" for c in added)
        spark.sql(f"ALTER TABLE {location} ADD COLUMNS ({columns})")
    for name, rule in table.checks.items():
        if f"{_CONSTRAINT}{name}" not in properties:
            spark.sql(f"ALTER TABLE {location} ADD CONSTRAINT {quote(name)} CHECK ({rule})")


@contextmanager
def naming_violations(table: Table) -> Iterator[None]:
    """Turn Delta's errors about constraints and nulls into one sentence that names the table and the rule."""
    try:
        yield
    except Exception as error:
        text = str(error)
        check = re.search(r"CHECK constraint (\S+)", text)
        null = re.search(r"NOT NULL constraint violated for column: ([\w.]+)", text)
        if check:
            name = check.group(1).strip("`").lower()
            rule = table.checks.get(name, "")
            raise DataError(
                f"table {table.name}: a row breaks the check {name} ({rule}); nothing was written"
            ) from error
        if null:
            raise DataError(
                f"table {table.name}: column {null.group(1).rstrip('.')} may not be null; nothing was written"
            ) from error
        raise


@contextmanager
def written_once(frame: DataFrame) -> Iterator[DataFrame]:
    """Persist a frame while it is checked and then written, so that its plan runs once."""
    held = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield held
    finally:
        held.unpersist()


def _plain_type(column: Column) -> str:
    return column.type.replace(" ", "").lower()
