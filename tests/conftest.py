"""Fixtures that all tests share: one Spark session for the run, a fresh warehouse for each test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys.environment import WarehouseSettings
from recsys.spark import local_session
from recsys.store import Warehouse

pytest_plugins = ["tests.support.shops", "tests.support.cpu"]

READ_ONE_RUN = (
    "tests/e2e/test_pipeline.py",
    "tests/e2e/test_submit.py",
    "tests/e2e/test_zones.py",
    "tests/docs/test_code.py",
    "tests/crash/test_crash.py",
    "tests/retrieval/test_newest.py",
    "tests/pipeline/test_backtest.py",
)
"""Tests that read one expensive run of the pipeline, which is made once."""
LONGEST = (*READ_ONE_RUN, "tests/ctr/test_horovod.py")
"""Files that start first, so that none of them is still running when all others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.partition("::")[0]
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file, and those that read one run, on one worker, so that their fixtures are made once."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.partition("::")[0]
            return "one run" if name in READ_ONE_RUN else name

    return Scheduling(config, log)


_ANY_JVM = (
    "-XX:ReservedCodeCacheSize=512m -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote "
    "-Djdk.lang.Process.launchMechanism=VFORK"
)
QUICK_JVM = f"-XX:TieredStopAtLevel=1 {_ANY_JVM}"
"""In a short run a third of the CPU goes to the JVM's second compiler, a tenth to a garbage collector made for large
heaps, and some to verifying Spark's own classes: all of them pay off in long runs only. Hadoop sets the modes of local
files by starting `chmod`, which takes the JVM half the time with VFORK. For any program."""
_HEAP = "-Xms1g -Xmn400m -XX:MetaspaceSize=256m"
QUICK_SPARK = f"{QUICK_JVM} {_HEAP}"
"""For drivers and executors with at least 1 GiB: their heap need not grow step by step."""
_LATE = {"Invocation": 200_000, "MinInvocation": 24_000, "Compile": 600_000, "BackEdge": 1_600_000}
SHARED_SPARK = " ".join([_ANY_JVM, _HEAP, *(f"-XX:Tier4{name}Threshold={count}" for name, count in _LATE.items())])
"""For the session that hundreds of tests share: the second compiler waits for forty times its default counts, so that
it compiles little but the planner; that saves a quarter of the CPU."""
QUICK_SQL = {
    # A third of a run over a few thousand rows goes into generating and compiling code for stages that take
    # milliseconds. Notebooks, the demo and the benchmarks keep it on.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # For each scan of a few rows Delta would run two jobs over the statistics of its files; collecting them takes a
    # sixth of the task time of a small pipeline.
    "spark.databricks.delta.stats.skipping": "false",
    "spark.databricks.delta.stats.collect": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # Tiny stages have nothing to adapt.
    "spark.sql.adaptive.enabled": "false",
}
"""Settings for runs over little data."""
COVERAGE = "COVERAGE_PROCESS_CONFIG"
"""The variable by which coverage measures programs that a test starts."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session on two threads, small enough that a plan costs more than its data."""
    with pytest.MonkeyPatch.context() as patch:
        # Tracing would take a quarter of the workers' CPU, and they end without reporting it.
        patch.delenv(COVERAGE, raising=False)
        session = _session(tmp_path_factory)
    session.sparkContext.setCheckpointDir(str(tmp_path_factory.mktemp("checkpoints")))
    session.conf.set("spark.sql.shuffle.partitions", "2")
    yield session
    session.stop()


def _session(tmp_path_factory: pytest.TempPathFactory) -> SparkSession:
    return local_session(
        "tests",
        cores=2,
        extra={
            "spark.driver.memory": "3g",
            "spark.driver.extraJavaOptions": SHARED_SPARK,
            "spark.sql.shuffle.partitions": "2",
            "spark.default.parallelism": "1",
            "spark.python.daemon.module": "tests.support.daemon",
            "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark-warehouse")),
            **QUICK_SQL,
        },
    )


@pytest.fixture
def compiled(spark: SparkSession) -> Iterator[None]:
    """Code generation switched on, for a test over hundreds of thousands of rows."""
    for key, value in (("wholeStage", "true"), ("factoryMode", "FALLBACK")):
        spark.conf.set(f"spark.sql.codegen.{key}", value)
    yield
    for key in ("wholeStage", "factoryMode"):
        spark.conf.set(f"spark.sql.codegen.{key}", QUICK_SQL[f"spark.sql.codegen.{key}"])


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path) -> Warehouse:
    """A warehouse of its own, in path mode."""
    return Warehouse(spark, WarehouseSettings(path=str(tmp_path / "warehouse")))


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Python in another time zone than the JVM and the session."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
