"""The SQL views where a catalog keeps them; path mode is tested with the jobs that make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.config import Config
from recsys.store import Warehouse
from recsys.store.views import VIEWS, create_views

pytestmark = pytest.mark.spark

SCHEMA = "views_of_a_catalog"


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Iterator[Warehouse]:
    spark.sql(f"CREATE SCHEMA {SCHEMA} LOCATION '{tmp_path}/schema'")
    section = {"path": f"{tmp_path}/files", "database_name": SCHEMA}
    yield Warehouse(spark, Config.model_validate({"warehouse": section}).warehouse)
    spark.sql(f"DROP SCHEMA {SCHEMA} CASCADE")


def test_every_view_is_made_in_the_schema(spark: SparkSession, warehouse: Warehouse) -> None:
    for view in VIEWS:
        for table in view.reads:
            warehouse.create(table)
    assert create_views(spark, warehouse) == [view.name for view in VIEWS]
    for view in VIEWS:
        assert spark.table(f"{SCHEMA}.{view.name}").count() == 0
    described = spark.sql(f"DESCRIBE TABLE EXTENDED {SCHEMA}.recommendations_latest").collect()
    assert VIEWS[0].comment in {row["data_type"] for row in described}


def test_a_view_without_its_table_is_left_out(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.create(data.RUNS)
    assert create_views(spark, warehouse) == ["runs_latest"]
