"""The line as its users start it: `spark-submit`, on real executors, on real data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import tables
from recsys.config import load_config
from recsys.io import Warehouse
from tests.conftest import QUICK_JVM, QUICK_SQL
from tests.support.shops import ROOT, SMALL, Shop

SUBMIT = Path(sys.executable).with_name("spark-submit")


def submit(*arguments: str, spark_options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `spark-submit jobs/pipeline.py` with the interpreter of the tests first on the path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYSPARK_PYTHON"] = sys.executable
    quick = {"spark.executor.extraJavaOptions": QUICK_JVM, **QUICK_SQL}
    command = [
        str(SUBMIT),
        "--driver-java-options",
        QUICK_JVM,
        *(part for key, value in quick.items() for part in ("--conf", f"{key}={value}")),
        *spark_options,
        str(ROOT / "jobs" / "pipeline.py"),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def _sets(*pairs: str) -> list[str]:
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.mark.cluster
def test_the_line_runs_on_two_executors_with_two_ranks(spark: SparkSession, shop: Shop, tmp_path: Path) -> None:
    """Two executors of their own: retrieval and scoring on them, training as two Horovod ranks."""
    warehouse = tmp_path / "warehouse"
    done = submit(
        f"--config={ROOT / 'conf/cluster.yaml'}",
        f"--dataset={ROOT / 'conf/datasets/synthetic-shop.yaml'}",
        f"--as-of={shop.as_of:%Y-%m-%dT%H:%M:%SZ}",
        *_sets(f"input.root={shop.raw}", f"warehouse={warehouse}", *SMALL),
        spark_options=("--master", "local-cluster[2,1,3072]", "--conf", "spark.executor.memory=2g"),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    config = load_config(overrides=[f"warehouse={warehouse}"])
    lists = Warehouse(spark, config.warehouse).read(tables.RECOMMENDATIONS)
    by_user = lists.groupBy("user_id").agg(F.count("*").alias("n"), F.max("rank").alias("last"))
    assert by_user.count() > 0
    assert by_user.where("n <> last").count() == 0


@pytest.mark.cluster
def test_an_error_ends_spark_submit_with_its_code_and_one_sentence(tmp_path: Path) -> None:
    done = submit(
        f"--config={ROOT / 'conf/local.yaml'}",
        f"--dataset={ROOT / 'conf/datasets/synthetic-shop.yaml'}",
        "--as-of=2024-01-01",
        *_sets(f"input.root={tmp_path / 'nowhere'}", f"warehouse={tmp_path / 'w'}"),
    )
    assert done.returncode == 3
    # spark-submit hands on what Python writes, stdout and stderr alike, on its own stdout.
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("recsys: ")
    assert "nowhere" in last
