"""A warehouse of an earlier version becomes one of this version: literal tables in the old layouts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import migrate as program
from recsys import data
from recsys.data import Table
from recsys.environment import WarehouseSettings
from recsys.errors import DataError, EnvironmentProblem
from recsys.retrieval import registry
from recsys.retrieval.item_item.tables import ITEM_NEIGHBORS
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Warehouse, migration
from recsys.store.contract import schema_of
from recsys.store.migration import migrate

pytestmark = pytest.mark.spark

DEFAULTS = registry.defaults()
EXAMPLES = registry.examples_table(DEFAULTS)
FIRST, SECOND = datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
PROPERTIES = "TBLPROPERTIES ('recsys.contractVersion' = '1', 'delta.constraints.rank_from_one' = 'rank >= 1')"
POPULAR_COLUMNS = "segment STRING NOT NULL, rank INT NOT NULL, item_id STRING NOT NULL, score DOUBLE NOT NULL"


def popular_of_0_1(spark: SparkSession, place: str) -> None:
    """The popular items as 0.1 stored them: without the name of a retriever."""
    spark.sql(
        f"CREATE TABLE {place} (as_of TIMESTAMP NOT NULL COMMENT 'The bound', {POPULAR_COLUMNS}) USING DELTA "
        f"PARTITIONED BY (as_of) COMMENT 'As 0.1 said' {PROPERTIES}"
    )
    spark.sql(
        f"INSERT INTO {place} VALUES (TIMESTAMP '2024-03-31 00:00:00', '', 1, 'a', 2.5), "
        "(TIMESTAMP '2024-03-31 01:30:00', 'new', 1, 'b', 1.0)"
    )


def popular_of_0_2(spark: SparkSession, place: str) -> None:
    """The popular items as 0.2 stored them: under the name of their retriever."""
    spark.sql(
        f"CREATE TABLE {place} (as_of TIMESTAMP NOT NULL, retriever STRING NOT NULL, {POPULAR_COLUMNS}) USING DELTA "
        f"PARTITIONED BY (as_of, retriever) {PROPERTIES}"
    )
    spark.sql(f"INSERT INTO {place} VALUES (TIMESTAMP '2024-03-31 00:00:00', 'weekly', '', 1, 'a', 2.5)")


def neighbors_of_0_1(spark: SparkSession, place: str) -> None:
    """Neighbors by kind of similarity."""
    spark.sql(
        f"CREATE TABLE {place} (as_of TIMESTAMP NOT NULL, kind STRING NOT NULL, item_id STRING NOT NULL, "
        "rank INT NOT NULL, neighbor_id STRING NOT NULL, score DOUBLE NOT NULL, support BIGINT NOT NULL) USING DELTA "
        f"PARTITIONED BY (as_of, kind) {PROPERTIES}"
    )
    spark.sql(f"INSERT INTO {place} VALUES (TIMESTAMP '2024-03-31 00:00:00', 'cooccurrence', 'a', 1, 'b', .5, 3)")


def examples_of_0_1(spark: SparkSession, place: str, *more: str) -> None:
    """Examples with the columns of the contract but the key, and further ones."""
    columns = [f"`{c.name}` {c.type} {'' if c.nullable else 'NOT NULL'}" for c in EXAMPLES.columns]
    stored = ", ".join([*(text for text in columns if "as_of_key" not in text and "`origin`" not in text), *more])
    spark.sql(f"CREATE TABLE {place} ({stored}) USING DELTA PARTITIONED BY (as_of, split) {PROPERTIES.split(',')[0]})")
    spark.sql(
        f"INSERT INTO {place} (as_of, example_id, split, user_id, item_id, list_id, example_time, label, sample_rate, "
        "price) VALUES (TIMESTAMP '2024-03-31', 'e', 'train', 'u', 'i', 'l', TIMESTAMP '2024-03-30 12:00:00', 1, 1, 9)"
    )


def models(spark: SparkSession, place: str) -> None:
    """Two rankers, one of them saved before the warehouse got its name, and a retriever."""
    columns = data.MODELS.ddl()
    spark.sql(f"CREATE TABLE {place} ({columns}) USING DELTA {PROPERTIES.split(',')[0]})")
    paths = {"ctr-1": "/old/bundles/place/bundles/ctr-1", "ctr-2": "s3://shop/warehouse/bundles/ctr-2", "als-1": None}
    rows = [(v, v[:3], FIRST, FIRST, path, "{}", "0.1.0", {}, {}, {}, None, None) for v, path in paths.items()]
    frame = spark.createDataFrame(rows, schema_of(data.MODELS))
    frame.createOrReplaceTempView("rows_of_models")
    spark.sql(f"INSERT INTO {place} SELECT * FROM rows_of_models")


def index_of_0_1(spark: SparkSession, place: str) -> None:
    """A table that is stored as before."""
    spark.sql(f"CREATE TABLE {place} ({data.USER_INDEX.ddl()}) USING DELTA {PROPERTIES.split(',')[0]})")
    spark.sql(f"INSERT INTO {place} VALUES ('u', 1, TIMESTAMP '2024-03-31')")


OLD = (
    (POPULAR_ITEMS, popular_of_0_1),
    (ITEM_NEIGHBORS, neighbors_of_0_1),
    (EXAMPLES, examples_of_0_1),
    (data.MODELS, models),
    (data.USER_INDEX, index_of_0_1),
)
REWRITTEN = tuple(table for table, _ in OLD if table is not data.USER_INDEX)


@dataclass(frozen=True)
class Migrated:
    """A warehouse after its migration, its commits by table, and what was said before and during it."""

    warehouse: Warehouse
    commits: dict[str, int]
    planned: list[str]
    lines: list[str]


@pytest.fixture(scope="module")
def migrated(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """A warehouse of 0.1, first looked at and then migrated."""
    warehouse = Warehouse(spark, WarehouseSettings(path=str(tmp_path_factory.mktemp("old") / "warehouse")))
    for table, make in OLD:
        make(spark, warehouse.location(table))
    before = {table.name: warehouse.version(table) for table, _ in OLD}
    planned = list(migrate(warehouse, DEFAULTS, dry_run=True))
    assert {table.name: warehouse.version(table) for table, _ in OLD} == before, "a dry run wrote"
    lines = list(migrate(warehouse, DEFAULTS))
    commits = {table.name: warehouse.version(table) - before[table.name] for table, _ in OLD}
    return Migrated(warehouse, commits, planned, lines)


def _declared(warehouse: Warehouse, table: Table) -> dict[str, Any]:
    """All that a table says of itself."""
    delta = warehouse.delta(table)
    detail = delta.detail().select("description", "partitionColumns", "properties").first()
    assert detail is not None
    # Delta's log has the fields in full; a frame that is read from it has lost which of them may be null.
    log = warehouse.spark._jvm.org.apache.spark.sql.delta.DeltaLog  # type: ignore[union-attr]
    schema = log.forTableWithSnapshot(warehouse.spark._jsparkSession, f"{warehouse.root}/{table.name}")._2().schema()
    return {**detail.asDict(), "schema": schema.json()}


@pytest.mark.parametrize("table", REWRITTEN, ids=lambda table: table.name)
def test_a_rewritten_table_is_declared_as_a_new_one(migrated: Migrated, warehouse: Warehouse, table: Table) -> None:
    """Columns, nullability, comments, checks, partitions, version of the contract."""
    warehouse.create(table)
    assert _declared(migrated.warehouse, table) == _declared(warehouse, table)


def test_each_table_changes_in_one_commit(migrated: Migrated) -> None:
    assert migrated.commits == {table.name: 1 for table, _ in OLD}


def test_rows_are_carried_over(migrated: Migrated) -> None:
    popular, neighbors = migrated.warehouse.read(POPULAR_ITEMS), migrated.warehouse.read(ITEM_NEIGHBORS)
    columns = ("as_of_key", "retriever", "segment", "rank", "item_id", "score")
    assert {tuple(row) for row in popular.select(*columns).collect()} == {
        ("20240331T000000Z", "popular", "", 1, "a", 2.5),
        ("20240331T013000Z", "popular", "new", 1, "b", 1.0),
    }
    assert popular.where(F.col("as_of") == F.lit(SECOND)).select("item_id").collect() == [("b",)]
    found = neighbors.select("as_of_key", "retriever", "item_id", "neighbor_id", "score", "support").collect()
    assert found == [("20240331T000000Z", "neighbors", "a", "b", 0.5, 3)]
    examples = migrated.warehouse.read(EXAMPLES, where=data.slice_of(FIRST)).select("example_id", "split", "price")
    assert examples.collect() == [("e", "train", 9.0)]


def test_paths_of_models_follow_the_warehouse(migrated: Migrated) -> None:
    found = migrated.warehouse.read(data.MODELS).select("model_version", "path").collect()
    assert dict(map(tuple, found)) == {"ctr-1": "bundles/ctr-1", "ctr-2": "bundles/ctr-2", "als-1": None}


def test_each_table_has_its_line(migrated: Migrated) -> None:
    (said,) = (line for line in migrated.lines if line.startswith("item_neighbors"))
    assert said.split(maxsplit=1)[1] == (
        "1 rows before, 1 after: partitioned by as_of_key instead of as_of; retriever instead of kind"
    )
    (planned,) = (line for line in migrated.planned if line.startswith("item_neighbors"))
    assert planned.endswith("1 rows: partitioned by as_of_key instead of as_of; retriever instead of kind")
    assert {line.split()[0] for line in migrated.lines} == {table.name for table, _ in OLD}


def test_a_second_migration_leaves_all_alone(migrated: Migrated) -> None:
    before = {table.name: migrated.warehouse.version(table) for table, _ in OLD}
    lines = list(migrate(migrated.warehouse, DEFAULTS))
    assert all(line.endswith("contract 3 already, left alone") for line in lines)
    assert {table.name: migrated.warehouse.version(table) for table, _ in OLD} == before


def test_the_program_prints_a_line_for_each_table(migrated: Migrated, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["--set", f"warehouse={migrated.warehouse.root}", "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {table.name for table, _ in OLD}


def test_a_migrated_table_takes_the_next_slice(migrated: Migrated) -> None:
    rows = migrated.warehouse.spark.createDataFrame(
        [(SECOND, data.stamp(SECOND), "popular", "", 1, "c", 1.0)], schema_of(POPULAR_ITEMS)
    )
    migrated.warehouse.replace(POPULAR_ITEMS, rows, where=data.slice_of(SECOND))
    found = migrated.warehouse.read(POPULAR_ITEMS).select("item_id").orderBy("item_id").collect()
    assert found == [("a",), ("c",)]


def test_columns_of_retrievers_that_the_config_lacks_stay(spark: SparkSession, warehouse: Warehouse) -> None:
    examples_of_0_1(spark, warehouse.location(EXAMPLES), "als_short_rank DOUBLE COMMENT 'Rank'")
    list(migrate(warehouse, DEFAULTS))
    stored = warehouse.delta(EXAMPLES).toDF().schema
    assert stored.names == [*EXAMPLES.column_names, "als_short_rank"]
    assert stored["als_short_rank"].metadata == {"comment": "Rank"}


def test_tables_of_a_catalog_are_migrated_too(spark: SparkSession, tmp_path: Path) -> None:
    """In the layout of 0.2, and with a property of the user's own."""
    spark.sql(f"CREATE DATABASE migrated LOCATION '{tmp_path}/tables'")
    try:
        warehouse = Warehouse(spark, WarehouseSettings(path=str(tmp_path / "files"), database_name="migrated"))
        popular_of_0_2(spark, "migrated.popular_items")
        spark.sql("ALTER TABLE migrated.popular_items SET TBLPROPERTIES ('team' = 'shop')")
        (line,) = migrate(warehouse, DEFAULTS)
        assert "1 rows before, 1 after: partitioned by as_of_key instead of as_of" in line
        found = warehouse.read(POPULAR_ITEMS, where=data.slice_of(FIRST)).select("retriever", "item_id").collect()
        assert found == [("weekly", "a")]
        state = warehouse.state(POPULAR_ITEMS)
        assert state is not None and state.properties["team"] == "shop"
    finally:
        spark.sql("DROP DATABASE migrated CASCADE")


def test_rows_that_a_machine_in_another_zone_doubled_are_refused(spark: SparkSession, warehouse: Warehouse) -> None:
    popular_of_0_1(spark, warehouse.location(POPULAR_ITEMS))
    spark.sql(f"INSERT INTO {warehouse.location(POPULAR_ITEMS)} SELECT * FROM {warehouse.location(POPULAR_ITEMS)}")
    before = warehouse.version(POPULAR_ITEMS)
    with pytest.raises(DataError, match="popular_items: 2 values of the key .* more than once"):
        list(migrate(warehouse, DEFAULTS))
    assert warehouse.version(POPULAR_ITEMS) == before


def test_the_jvm_has_to_be_in_utc(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another zone the old partitions would be read as other instants."""
    monkeypatch.setattr(migration, "driver_zone", lambda spark: "Europe/Berlin")
    with pytest.raises(EnvironmentProblem, match="time zone Europe/Berlin.*TZ=UTC spark-submit jobs/migrate.py"):
        list(migrate(warehouse, DEFAULTS))


def test_a_warehouse_without_tables_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(DataError, match="there is no table in .*warehouse.path"):
        list(migrate(warehouse, DEFAULTS))


@pytest.mark.parametrize("use", ["read", "write"])
def test_an_old_table_names_the_program_that_migrates_it(spark: SparkSession, warehouse: Warehouse, use: str) -> None:
    popular_of_0_2(spark, warehouse.location(POPULAR_ITEMS))
    frame = spark.createDataFrame([], schema_of(POPULAR_ITEMS))
    said = "popular_items was written under contract 1, partitioned by as_of, retriever, .*jobs/migrate.py --config"
    with pytest.raises(DataError, match=said):
        if use == "read":
            warehouse.read(POPULAR_ITEMS)
        else:
            warehouse.replace(POPULAR_ITEMS, frame, where=data.slice_of(FIRST))


def test_a_table_of_a_newer_version_is_not_touched(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.create(POPULAR_ITEMS)
    place = warehouse.location(POPULAR_ITEMS)
    spark.sql(f"ALTER TABLE {place} SET TBLPROPERTIES ('recsys.contractVersion' = '9')")
    with pytest.raises(DataError, match="contract 9.*newer"):
        list(migrate(warehouse, DEFAULTS))
    with pytest.raises(DataError, match="contract 9 by a newer version"):
        Warehouse(spark, warehouse.config).read(POPULAR_ITEMS)
