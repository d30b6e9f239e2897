"""Fixtures that all tests share: one Spark session for the run, a fresh warehouse for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys.config.sections import WarehouseConfig
from recsys.io import Warehouse
from recsys.spark import local_session

SHARE_A_SHOP = ("tests/e2e/", "tests/crash/")
"""Folders whose tests read one expensive run of the line, made once."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and those that share a shop, on one worker: their fixtures are made once."""
    for item in items:
        name = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group("shop" if name.startswith(SHARE_A_SHOP) else name))


QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session on two threads, small enough that a plan costs more than its data."""
    session = local_session(
        "tests",
        cores=2,
        extra={
            "spark.driver.memory": "3g",
            # A third of a test run's CPU went to the JVM's second compiler, which pays off on long runs only.
            "spark.driver.extraJavaOptions": QUICK_JVM,
            "spark.sql.shuffle.partitions": "2",
            "spark.default.parallelism": "2",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark-warehouse")),
            # For each scan of a few rows Delta would run two jobs over the statistics of its files.
            "spark.databricks.delta.stats.skipping": "false",
        },
    )
    # Tiny stages have nothing to adapt to, and planning them one by one costs a fifth of a run. What runs under
    # spark-submit and in processes of their own keeps it on.
    session.conf.set("spark.sql.adaptive.enabled", "false")
    session.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Warehouse:
    """A warehouse of its own, in path mode."""
    return Warehouse(spark, WarehouseConfig(path=str(tmp_path / "warehouse")))
