"""Intermediate results: read as they were written, cut from what made them, gone at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys.store import Warehouse
from recsys.store.scratch import FOLDER, scratch

pytestmark = pytest.mark.spark


def folders(warehouse: Warehouse) -> list[str]:
    return sorted(path.name for path in Path(warehouse.root, FOLDER).glob("*"))


def test_frames_come_back_without_their_plan_and_go_at_the_end(spark: SparkSession, warehouse: Warehouse) -> None:
    frame = spark.range(5).selectExpr("id", "map('a', id) AS m", "CAST(NULL AS STRING) AS nothing")
    with scratch(warehouse, "job-20240101T000000Z") as written:
        once, twice = written(frame), written(frame.where("id > 2"))
        assert once.schema.simpleString() == frame.schema.simpleString()
        assert sorted(map(str, once.collect())) == sorted(map(str, frame.collect()))
        assert [row["id"] for row in twice.orderBy("id").collect()] == [3, 4]
        assert len(folders(warehouse)) == 1
    assert folders(warehouse) == []


def test_what_a_killed_run_left_goes_when_the_next_begins(spark: SparkSession, warehouse: Warehouse) -> None:
    left, other = "job-20240101T000000Z-dead0000", "other-20240101T000000Z-dead0000"
    for name in (left, other):
        Path(warehouse.root, FOLDER, name).mkdir(parents=True)
    with scratch(warehouse, "job-20240101T000000Z"):
        assert folders(warehouse) == [other]


def test_it_goes_when_the_run_fails(spark: SparkSession, warehouse: Warehouse) -> None:
    with pytest.raises(ValueError, match="half-way"), scratch(warehouse, "job") as written:
        written(spark.range(1).toDF("id"))
        raise ValueError("half-way")
    assert folders(warehouse) == []
