"""Brings the tables of an earlier version of the project up to the contract of this one.

Each table changes in one commit: readers see the old one or the new one. A table that is up to date is left alone, so
a migration that was interrupted is simply started again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import data
from recsys.data import AS_OF_KEY, CONTRACT_VERSION, Column, Table
from recsys.errors import DataError, EnvironmentProblem
from recsys.progress import step
from recsys.retrieval import registry
from recsys.retrieval.base import Retriever
from recsys.spark import UTC_ZONE, driver_zone
from recsys.store.catalog import all_tables
from recsys.store.contract import conform, require_valid
from recsys.store.ddl import VERSION_PROPERTY, contract_of
from recsys.store.rewriting import Rewriting
from recsys.store.warehouse import Warehouse

_AS_OF_TEXT = (
    "concat(date_format(as_of, \"yyyyMMdd'T'HHmmss\"), "
    "CASE WHEN unix_micros(as_of) % 1000000 <> 0 THEN date_format(as_of, '.SSSSSS') ELSE '' END, 'Z')"
)
_RETRIEVER_OF_KIND = "CASE kind WHEN 'cooccurrence' THEN 'neighbors' ELSE kind END"
_ORIGIN = "CASE WHEN candidate_rank IS NULL THEN 'lists' ELSE 'candidates' END"
_RELATIVE_PATH = "regexp_replace(path, '^.*/bundles/', 'bundles/')"


@dataclass(frozen=True)
class Change:
    """How a column of a table follows from what an earlier version stored.

    Attributes
    ----------
    column : str
        The column of today's contract.
    expression : str
        What it is made of, in SQL.
    says : str
        The change in words.
    replaces : str, optional
        The stored column that it takes the place of.
    """

    column: str
    expression: str
    says: str
    replaces: str | None = None


def changes_of(table: Table, stored: Sequence[str]) -> tuple[Change, ...]:
    """Return what has to change in the rows of a table, by the columns that are stored.

    Parameters
    ----------
    table : Table
        Today's contract.
    stored : sequence of str
        Columns of the table as it is.
    """
    found = []
    lacking = {name for name in table.column_names if name not in stored}
    if AS_OF_KEY.name in lacking and "as_of" in stored:
        found.append(Change(AS_OF_KEY.name, _AS_OF_TEXT, "partitioned by as_of_key instead of as_of"))
    if "retriever" in lacking and "kind" in stored:
        found.append(Change("retriever", _RETRIEVER_OF_KIND, "retriever instead of kind", replaces="kind"))
    elif "retriever" in lacking and table.name == "popular_items":
        found.append(Change("retriever", "'popular'", "retriever popular"))
    if table.name == data.CTR_EXAMPLES.name and "origin" in lacking:
        found.append(Change("origin", _ORIGIN, "origin of each example"))
    if table.name == data.MODELS.name:
        found.append(Change("path", _RELATIVE_PATH, "paths relative to the warehouse"))
    return tuple(found)


def migrate(warehouse: Warehouse, retrievers: Iterable[Retriever], *, dry_run: bool = False) -> Iterator[str]:
    """Migrate every table that was written under an earlier contract.

    Parameters
    ----------
    retrievers : iterable of Retriever
        Those of the config; they decide the columns of `ctr_examples`.
    dry_run : bool
        Say what would change, and change nothing.

    Yields
    ------
    str
        A line per table: its rows before and after, and what changed.

    Raises
    ------
    EnvironmentProblem
        If the driver's JVM is not in UTC.
    DataError
        If there is no table, or one that can't be migrated.
    """
    _require_utc(warehouse)
    examples = registry.examples_table(retrievers)
    tables = [examples if table.name == examples.name else table for table in all_tables()]
    existing = [table for table in tables if warehouse.exists(table)]
    if not existing:
        raise DataError(f"there is no table in {warehouse.root}; check warehouse.path of the config")
    for table in existing:
        yield f"{table.name:<18} {_migrated(warehouse, table, dry_run=dry_run)}"


def _require_utc(warehouse: Warehouse) -> None:
    zone = driver_zone(warehouse.spark)
    if zone != UTC_ZONE:
        raise EnvironmentProblem(
            f"the JVM is in the time zone {zone}, in which the old partitions would be taken for other instants; "
            "set TZ=UTC for this program: TZ=UTC spark-submit jobs/migrate.py …"
        )


def _migrated(warehouse: Warehouse, table: Table, *, dry_run: bool) -> str:
    state = warehouse.newest(table)
    assert state is not None
    version = contract_of(state) or CONTRACT_VERSION
    if version > CONTRACT_VERSION:
        raise DataError(f"table {table.name} is of contract {version}, which is newer than {CONTRACT_VERSION}")
    moved = table.period_column is None and state.partitions != table.partitions
    if version == CONTRACT_VERSION and not moved:
        return f"contract {CONTRACT_VERSION} already, left alone"
    schema = warehouse.delta(table).toDF().schema
    changes = changes_of(table, schema.names)
    if not changes and not moved:
        return _marked(warehouse, table, dry_run=dry_run)
    target = _with_own_columns(table, schema, changes)
    _require_types(table, schema)
    rewriting = Rewriting.of(warehouse.spark, _place(warehouse, table))
    rows = conform(_changed(rewriting.rows(), target, changes), target)
    before = rewriting.rows().count()
    what = "; ".join(change.says for change in changes) or f"partitioned by {', '.join(table.partitions)}"
    if dry_run:
        return f"{before:>12,} rows: {what}"
    with step(f"migrate {table.name}") as this:
        this.rows = require_valid(rows, target).rows
        rewriting.commit(rows, target, properties=state.properties)
    return f"{before:>12,} rows before, {warehouse.delta(table).toDF().count():,} after: {what}"


def _marked(warehouse: Warehouse, table: Table, *, dry_run: bool) -> str:
    """Put a table whose rows need no change under today's contract."""
    rows = warehouse.delta(table).toDF().count()
    if not dry_run:
        place, version = warehouse.location(table), f"'{VERSION_PROPERTY}' = '{CONTRACT_VERSION}'"
        warehouse.spark.sql(f"ALTER TABLE {place} SET TBLPROPERTIES ({version})")
    return f"{rows:>12,} rows, which stay as they are: contract {CONTRACT_VERSION}"


def _place(warehouse: Warehouse, table: Table) -> str:
    found = warehouse.delta(table).detail().select("location").first()
    assert found is not None  # one row for each table
    return str(found["location"])


def _with_own_columns(table: Table, schema: T.StructType, changes: Sequence[Change]) -> Table:
    """The contract, and behind it what else the table holds: features of retrievers that the config lacks now."""
    gone = {change.replaces for change in changes}
    own = tuple(
        Column(field.name, field.dataType.simpleString(), field.metadata.get("comment", ""))
        for field in schema.fields
        if field.name not in table.column_names and field.name not in gone
    )
    return replace(table, columns=(*table.columns, *own))


def _require_types(table: Table, schema: T.StructType) -> None:
    kinds = {field.name: field.dataType.simpleString() for field in schema.fields}
    for column in table.columns:
        declared = column.type.replace(" ", "").lower()
        if kinds.get(column.name, declared) != declared:
            raise DataError(
                f"table {table.name} can't be migrated: column {column.name} is {kinds[column.name]} instead of "
                f"{declared}; move the table away and run the job that makes it again"
            )


def _changed(rows: DataFrame, target: Table, changes: Sequence[Change]) -> DataFrame:
    """Derive what is derived; a column that came since, and may be null, is null."""
    derived = rows.withColumns({change.column: F.expr(change.expression) for change in changes})
    new = {c.name: F.lit(None).cast(c.type) for c in target.columns if c.nullable and c.name not in derived.columns}
    return derived.withColumns(new) if new else derived
