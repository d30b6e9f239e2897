"""Creates and evolves Delta tables from their declarations: columns, comments, constraints, partitions."""

from __future__ import annotations

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from recsys.data import CONTRACT_VERSION, Column, Table
from recsys.data.sql import literal, quote
from recsys.errors import DataError
from recsys.store.state import TableState

VERSION_PROPERTY = "recsys.contractVersion"
CONSTRAINT = "delta.constraints."
MIGRATE = "spark-submit jobs/migrate.py --config …"
"""The program that brings tables of earlier contracts up to date."""
_PERIODS = {"day": None, "month": "date_format({column}, 'yyyy-MM')", "year": "year({column})"}
_ROWS_PER_PARTITION = 100_000
"""A partition with fewer rows is not worth a file of its own."""


def contract_of(state: TableState) -> int | None:
    """Version of the contract that a table was written under, if it has one of the project's."""
    found = state.properties.get(VERSION_PROPERTY, "")
    return int(found) if found.isdigit() else None


def require_current(table: Table, state: TableState) -> None:
    """Check that a table was written under the contract that this version of the project reads.

    Raises
    ------
    DataError
        Naming the program that migrates it.
    """
    version = contract_of(state) or CONTRACT_VERSION
    if version > CONTRACT_VERSION:
        raise DataError(
            f"table {table.name} was written under contract {version} by a newer version of recsys, which this one "
            f"(contract {CONTRACT_VERSION}) can't read; install that version"
        )
    moved = table.period_column is None and state.partitions != table.partitions
    if version < CONTRACT_VERSION or moved:
        cut = f", partitioned by {', '.join(state.partitions) or 'nothing'}" if moved else ""
        raise DataError(
            f"table {table.name} was written under contract {version}{cut}, and this version of recsys reads contract "
            f"{CONTRACT_VERSION}; migrate the warehouse once: {MIGRATE}"
        )


def choose_period(table: Table, period: str, *, rows: int, days: int) -> str:
    """Return the grain of a table's date partitions; `auto` looks at the rows per day of the first batch."""
    if table.period_column is None or period != "auto":
        return period
    rows_per_day = rows / max(days, 1)
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
        DeltaTable.createIfNotExists(spark).comment(table.comment).property(VERSION_PROPERTY, str(CONTRACT_VERSION))
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
        builder = builder.property(f"{CONSTRAINT}{name}", rule)
    if partitions:
        builder = builder.partitionedBy(*partitions)
    builder.execute()


def evolve(spark: SparkSession, table: Table, location: str, state: TableState) -> bool:
    """Add to an existing table the columns and checks that its declaration has and it lacks.

    Returns
    -------
    bool
        Whether something was added.

    Raises
    ------
    DataError
        If the table is of another contract, a column's type differs from the declared one, or a new column is
        NOT NULL.
    """
    require_current(table, state)
    added = [column for column in table.columns if column.name not in state.columns]
    wrong = [c for c in table.columns if c.name in state.columns and state.columns[c.name] != _plain_type(c)]
    if wrong or any(not column.nullable for column in added):
        names = ", ".join(column.name for column in [*wrong, *(c for c in added if not c.nullable)])
        raise DataError(
            f"table {table.name} was written under another contract (columns {names}); move it away and run the job "
            "that makes it again, or migrate it with ALTER TABLE"
        )
    if added:
        columns = ", ".join(f"{quote(c.name)} {c.type} COMMENT {literal(c.comment)}" for c in added)
        spark.sql(f"ALTER TABLE {location} ADD COLUMNS ({columns})")
    rules = {name: rule for name, rule in table.checks.items() if f"{CONSTRAINT}{name}" not in state.properties}
    for name, rule in rules.items():
        spark.sql(f"ALTER TABLE {location} ADD CONSTRAINT {quote(name)} CHECK ({rule})")
    return bool(added or rules)


def _plain_type(column: Column) -> str:
    return column.type.replace(" ", "").lower()
