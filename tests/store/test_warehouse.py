"""The warehouse: slices replaced, keys merged, contracts kept, time bounds exclusive. Literal rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.data import Column, Table, slice_of, stamp
from recsys.errors import DataError, MissingData
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Merge, PinnedWarehouse, Warehouse
from recsys.store.contract import schema_of
from recsys.store.ddl import choose_period

pytestmark = pytest.mark.spark

DAY = date(2024, 3, 1)


def _popular(spark: SparkSession, *rows: tuple[datetime, str, int, str, float]) -> DataFrame:
    return spark.createDataFrame([(at, stamp(at), "popular", *rest) for at, *rest in rows], schema_of(POPULAR_ITEMS))


def _events(spark: SparkSession, *times: datetime) -> DataFrame:
    base = dict.fromkeys(data.EVENTS.column_names)
    rows = []
    for number, time in enumerate(times):
        row = {
            **base,
            "event_id": f"e{number}",
            "user_id": "u",
            "item_id": "i",
            "event_type": "view",
            "event_time": time,
            "event_date": time.date(),
            "is_bot": False,
            "source": "s",
            "batch_id": "b",
            "ingested_at": datetime(2024, 4, 1, tzinfo=UTC),
        }
        rows.append(tuple(row.values()))
    return spark.createDataFrame(rows, schema_of(data.EVENTS))


FIRST = datetime(2024, 3, 1, tzinfo=UTC)
SECOND = datetime(2024, 3, 2, tzinfo=UTC)


def test_replace_touches_only_its_slice(spark: SparkSession, warehouse: Warehouse) -> None:
    table = POPULAR_ITEMS
    warehouse.replace(table, _popular(spark, (FIRST, "", 1, "a", 2.0)), where=slice_of(FIRST))
    warehouse.replace(table, _popular(spark, (SECOND, "", 1, "b", 2.0)), where=slice_of(SECOND))
    written = warehouse.replace(table, _popular(spark, (FIRST, "", 1, "c", 3.0)), where=slice_of(FIRST))
    found = {(row["item_id"], row["score"]) for row in warehouse.read(table).collect()}
    assert found == {("c", 3.0), ("b", 2.0)}
    assert written.rows == 1


def test_replace_refuses_rows_outside_the_slice(spark: SparkSession, warehouse: Warehouse) -> None:
    table = POPULAR_ITEMS
    warehouse.replace(table, _popular(spark, (FIRST, "", 1, "a", 2.0)), where=slice_of(FIRST))
    with pytest.raises(Exception, match="replaceWhere|REPLACE_WHERE|as_of"):
        warehouse.replace(table, _popular(spark, (SECOND, "", 1, "b", 2.0)), where=slice_of(FIRST))


def test_replace_refuses_a_repeated_key(spark: SparkSession, warehouse: Warehouse) -> None:
    rows = _popular(spark, (FIRST, "", 1, "a", 2.0), (FIRST, "", 1, "b", 2.0))
    with pytest.raises(
        DataError, match=r"popular_items.*as_of, retriever, segment, rank.*more than once; nothing was written"
    ):
        warehouse.replace(POPULAR_ITEMS, rows, where=slice_of(FIRST))


def test_a_broken_check_names_the_rule_and_writes_nothing(spark: SparkSession, warehouse: Warehouse) -> None:
    table = POPULAR_ITEMS
    warehouse.replace(table, _popular(spark, (FIRST, "", 1, "a", 2.0)), where=slice_of(FIRST))
    with pytest.raises(DataError, match="rank_from_one"):
        warehouse.replace(table, _popular(spark, (FIRST, "", 0, "b", 2.0)), where=slice_of(FIRST))
    assert [row["item_id"] for row in warehouse.read(table).collect()] == ["a"]


def test_a_null_in_a_required_column_names_it(spark: SparkSession, warehouse: Warehouse) -> None:
    rows = _popular(spark, (FIRST, "", 1, "a", 2.0)).withColumn("score", F.lit(None).cast("double"))
    with pytest.raises(DataError, match="score may not be null"):
        warehouse.replace(POPULAR_ITEMS, rows, where=slice_of(FIRST))


def test_merge_inserts_new_keys_and_leaves_known_ones(spark: SparkSession, warehouse: Warehouse) -> None:
    def rows(*pairs: tuple[str, int]) -> DataFrame:
        return spark.createDataFrame([(*pair, FIRST) for pair in pairs], schema_of(data.USER_INDEX))

    assert warehouse.merge(data.USER_INDEX, rows(("a", 1), ("b", 2)), update=False).rows == 2
    assert warehouse.merge(data.USER_INDEX, rows(("a", 9), ("c", 3)), update=False).rows == 1
    assert warehouse.merge(data.USER_INDEX, rows(("a", 9), ("c", 3)), update=False).rows == 0
    assert {tuple(r)[:2] for r in warehouse.read(data.USER_INDEX).collect()} == {("a", 1), ("b", 2), ("c", 3)}
    assert warehouse.merge(data.USER_INDEX, rows(("a", 9)), update=True).rows == 1
    assert ("a", 9) in {tuple(r)[:2] for r in warehouse.read(data.USER_INDEX).collect()}


def test_a_merge_leaves_rows_of_other_datasets_alone(spark: SparkSession, warehouse: Warehouse) -> None:
    """The same id in two datasets; and what is removed goes with the rows that come, in one commit."""
    warehouse.replace(data.EVENTS, _events(spark, FIRST, SECOND), where={})
    version = warehouse.version(data.EVENTS)
    other = _events(spark, FIRST).withColumns({"source": F.lit("t"), "item_id": F.lit("j")})
    mine = _events(spark, FIRST).withColumn("event_id", F.lit("new"))
    gone = spark.createDataFrame([("e1",)], "event_id string")
    warehouse.write(Merge(data.EVENTS, other.unionByName(mine), update=True, remove=gone))
    rows = warehouse.read(data.EVENTS).collect()
    assert {row["event_id"]: (row["source"], row["item_id"]) for row in rows} == {"e0": ("s", "i"), "new": ("s", "i")}
    assert warehouse.version(data.EVENTS) == version + 1


def test_before_is_exclusive_and_since_inclusive(spark: SparkSession, warehouse: Warehouse) -> None:
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    warehouse.replace(data.EVENTS, _events(spark, FIRST, noon, SECOND), where={})
    assert warehouse.read(data.EVENTS, before=noon).count() == 1
    assert warehouse.read(data.EVENTS, since=noon).count() == 2
    assert warehouse.read(data.EVENTS, since=noon, before=SECOND).count() == 1


def test_valid_at_takes_the_state_before_the_instant_and_hides_the_future(
    spark: SparkSession, warehouse: Warehouse
) -> None:
    base = dict.fromkeys(data.ITEMS.column_names)
    rows = [
        tuple({**base, "item_id": "i", "valid_from": start, "is_current": current, "title": title, "available": True,
               "source": "s", "batch_id": "b", "ingested_at": SECOND}.values())
        for start, current, title in ((FIRST, False, "old"), (SECOND, True, "new"))
    ]  # fmt: skip
    warehouse.replace(data.ITEMS, spark.createDataFrame(rows, schema_of(data.ITEMS)), where={})
    at_second = warehouse.read(data.ITEMS, valid_at=SECOND)
    assert [row["title"] for row in at_second.collect()] == ["old"]
    assert not {"valid_to", "is_current"} & set(at_second.columns)
    assert warehouse.read(data.ITEMS, valid_at=FIRST).count() == 0
    later = datetime(2024, 3, 2, 0, 0, 1, tzinfo=UTC)
    assert [row["title"] for row in warehouse.read(data.ITEMS, valid_at=later).collect()] == ["new"]


def test_valid_at_hides_an_entity_that_began_later(spark: SparkSession, warehouse: Warehouse) -> None:
    base = dict.fromkeys(data.USERS.column_names)
    rows = [
        tuple({**base, "user_id": user, "valid_from": datetime(1970, 1, 1, tzinfo=UTC), "is_current": True,
               "signed_up_at": signed_up, "source": "s", "batch_id": "b", "ingested_at": SECOND}.values())
        for user, signed_up in (("early", FIRST), ("then", SECOND), ("unknown", None))
    ]  # fmt: skip
    warehouse.replace(data.USERS, spark.createDataFrame(rows, schema_of(data.USERS)), where={})
    known = warehouse.read(data.USERS, valid_at=SECOND).collect()
    assert sorted(row["user_id"] for row in known) == ["early", "unknown"]


def test_a_missing_table_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(MissingData, match="table events does not exist in ") as caught:
        warehouse.read(data.EVENTS)
    assert caught.value.table == "events"
    assert warehouse.read(data.EVENTS, required=False).columns == data.EVENTS.column_names


def test_a_run_reads_each_table_at_one_version(spark: SparkSession, warehouse: Warehouse) -> None:
    first = warehouse.replace(POPULAR_ITEMS, _popular(spark, (FIRST, "", 1, "a", 2.0)), where=slice_of(FIRST))
    pinned = PinnedWarehouse(spark, warehouse.config)
    assert pinned.read(POPULAR_ITEMS).count() == 1
    warehouse.replace(POPULAR_ITEMS, _popular(spark, (SECOND, "", 1, "b", 2.0)), where=slice_of(SECOND))
    assert [row["item_id"] for row in pinned.read(POPULAR_ITEMS).collect()] == ["a"]
    assert warehouse.read(POPULAR_ITEMS).count() == 2
    assert first.state is not None
    assert pinned.reads == {"popular_items": first.state.version}


def test_an_added_column_evolves_and_another_type_stops(spark: SparkSession, warehouse: Warehouse) -> None:
    first = Table("things", "Things.", (Column("thing_id", "string", "Id", nullable=False),), key=("thing_id",))
    wider = Table("things", "Things.", (*first.columns, Column("size", "int", "Size")), key=("thing_id",))
    other = Table("things", "Things.", (*first.columns, Column("size", "string", "Size")), key=("thing_id",))
    warehouse.merge(first, spark.createDataFrame([("a",)], "thing_id string"), update=False)
    warehouse.merge(wider, spark.createDataFrame([("b", 2)], "thing_id string, size int"), update=False)
    assert {tuple(r) for r in warehouse.read(wider).collect()} == {("a", None), ("b", 2)}
    with pytest.raises(DataError, match="another contract.*size"):
        warehouse.merge(other, spark.createDataFrame([("c", "x")], "thing_id string, size string"), update=False)


@pytest.mark.parametrize(("per_day", "period"), [(150_000, "day"), (10_000, "month"), (10, "year")])
def test_partitions_follow_the_data(per_day: int, period: str) -> None:
    assert choose_period(data.EVENTS, "auto", rows=per_day * 2, days=2) == period
    assert choose_period(data.EVENTS, "day", rows=per_day * 2, days=2) == "day"


def test_a_first_batch_over_many_days_is_cut_by_the_year(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.merge(data.EVENTS, _events(spark, FIRST, SECOND), update=False)
    state = warehouse.state(data.EVENTS)
    assert state is not None
    assert state.partitions == ("event_year",)


def test_columns_carry_their_comments(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.create(data.USER_INDEX)
    described = spark.sql(f"DESCRIBE TABLE {warehouse.location(data.USER_INDEX)}").collect()
    comments = {row["col_name"]: row["comment"] for row in described}
    assert comments["idx"] == data.USER_INDEX.column("idx").comment


def test_a_small_write_makes_one_file_for_each_partition_directory(spark: SparkSession, warehouse: Warehouse) -> None:
    """Whatever the number of tasks: sixteen of them here have rows of both."""
    rows = [(at, "", rank, f"i{rank}", 1.0) for at in (FIRST, SECOND) for rank in range(1, 65)]
    warehouse.replace(POPULAR_ITEMS, _popular(spark, *rows).repartition(16), where={})
    files = _data_files(warehouse, POPULAR_ITEMS)
    assert (len({file.parent for file in files}), len(files)) == (2, 2)


def test_a_small_merge_into_a_table_without_partitions_adds_one_file(spark: SparkSession, warehouse: Warehouse) -> None:
    rows = spark.range(1, 65).repartition(16)
    for first in (0, 100):
        columns = f"concat('i', id + {first}) AS item_id", f"int(id + {first}) AS idx", "now() AS created_as_of"
        warehouse.merge(data.ITEM_INDEX, rows.selectExpr(*columns), update=False)
    assert len(_data_files(warehouse, data.ITEM_INDEX)) == 2


def _data_files(warehouse: Warehouse, table: Table) -> list[Path]:
    return [file for file in Path(warehouse.directory(table)).rglob("*.parquet") if "_delta_log" not in file.parts]


def test_optimize_keeps_the_rows(spark: SparkSession, warehouse: Warehouse) -> None:
    rows = _popular(spark, *((FIRST, "", rank, f"i{rank}", 1.0) for rank in range(1, 9)))
    warehouse.replace(POPULAR_ITEMS, rows.repartition(4), where=slice_of(FIRST))
    warehouse.optimize(POPULAR_ITEMS, where=slice_of(FIRST))
    assert warehouse.read(POPULAR_ITEMS, where=slice_of(FIRST)).count() == 8


def test_files_never_lie_inside_a_table(warehouse: Warehouse) -> None:
    """VACUUM would delete them."""
    with pytest.raises(ValueError, match="models is a table"):
        warehouse.path("models", "v1")
