"""The index: dense, stable, append-only, the same however the rows are spread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.data.index import known_ids, new_rows
from recsys.errors import DataError
from recsys.store import Warehouse
from tests.support.queries import counting_jobs

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)
BEFORE, AFTER = AS_OF - timedelta(days=1), AS_OF + timedelta(days=1)
NONE = "item_id string, idx int"


def ids(spark: SparkSession, *names: str) -> DataFrame:
    return spark.createDataFrame([(name,) for name in names], "item_id string")


def as_map(frame: DataFrame) -> dict[str, int]:
    return {row[0]: row[1] for row in frame.collect()}


def test_dense_from_one_and_the_same_whatever_the_partitions(spark: SparkSession) -> None:
    names = [f"item {i}" for i in range(5000)]
    empty = spark.createDataFrame([], NONE)
    first = as_map(new_rows("item", ids(spark, *names).repartition(1), empty, as_of=AS_OF))
    second = as_map(new_rows("item", ids(spark, *reversed(names)).repartition(13), empty, as_of=AS_OF))
    assert first == second
    assert sorted(first.values()) == list(range(1, 5001))


def test_appends_without_renumbering(spark: SparkSession, warehouse: Warehouse) -> None:
    def add(*names: str) -> dict[str, int]:
        known = warehouse.read(data.ITEM_INDEX, required=False)
        warehouse.merge(data.ITEM_INDEX, new_rows("item", ids(spark, *names), known, as_of=AS_OF), update=False)
        return as_map(warehouse.read(data.ITEM_INDEX))

    first = add("a", "b", "c")
    assert add("a", "b", "c") == first, "a second run adds nothing"
    later = add("a", "d", "z", "0")
    assert {name: later[name] for name in first} == first
    assert sorted(later.values()) == list(range(1, 7))


def test_a_repeated_id_is_refused_and_not_stored_twice(spark: SparkSession, warehouse: Warehouse) -> None:
    twice = new_rows("item", ids(spark, "a", "a"), spark.createDataFrame([], NONE), as_of=AS_OF)
    with pytest.raises(DataError, match="item_index"):
        warehouse.merge(data.ITEM_INDEX, twice, update=False)


def test_who_is_known(spark: SparkSession) -> None:
    events = spark.createDataFrame(
        [
            ("u", BEFORE, False),
            ("u", BEFORE, False),
            ("anon:s1", BEFORE, False),
            ("robot", BEFORE, True),
            ("at the bound", AS_OF, False),
            ("later", AFTER, False),
        ],
        "user_id string, event_time timestamp, is_bot boolean",
    )
    shown = spark.createDataFrame(
        [("viewer", BEFORE, False), ("late viewer", AS_OF, False), ("shown robot", BEFORE, True)],
        "user_id string, shown_at timestamp, is_bot boolean",
    )
    profiles = spark.createDataFrame(
        [("u", BEFORE), ("profile", BEFORE), ("profile", AFTER), ("late profile", AS_OF)],
        "user_id string, valid_from timestamp",
    )
    found = known_ids("user", as_of=AS_OF, events=events, impressions=shown, states=profiles)
    assert sorted(row[0] for row in found.collect()) == ["profile", "u", "viewer"]
    with_anonymous = known_ids("user", as_of=AS_OF, events=events, include_anonymous=True)
    assert sorted(row[0] for row in with_anonymous.collect()) == ["anon:s1", "u"]


def test_numbering_takes_few_jobs(spark: SparkSession) -> None:
    known = spark.createDataFrame([("a", 1)], NONE)
    with counting_jobs(spark) as jobs:
        assert as_map(new_rows("item", ids(spark, "a", "b", "c"), known, as_of=AS_OF)).keys() == {"b", "c"}
    assert jobs.count <= 10
