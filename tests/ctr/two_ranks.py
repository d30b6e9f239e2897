"""Run by the cluster tests in a process (and JVM) of its own: training on two executors; the last line is JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from recsys.ctr.base import TrainOutcome, TrainTask
from recsys.ctr.training.launcher import HorovodLauncher, LocalLauncher, run_rank
from recsys.errors import RecsysError
from tests.conftest import COVERAGE, QUICK_SPARK
from tests.ctr import shop


def session() -> SparkSession:
    root = str(Path(__file__).resolve().parents[2])
    return (
        SparkSession.builder.master("local-cluster[2,1,3072]")
        .appName("two ranks")
        .config("spark.executor.memory", "1g")
        .config("spark.driver.memory", "1g")
        .config("spark.executorEnv.PYTHONPATH", root)
        .config(f"spark.executorEnv.{COVERAGE}", "")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.extraJavaOptions", QUICK_SPARK)
        .config("spark.executor.extraJavaOptions", QUICK_SPARK)
        .getOrCreate()
    )


def dies(task: TrainTask) -> TrainOutcome | RecsysError:
    """Rank 1 is gone after a few steps, without a word."""
    if os.environ["HOROVOD_RANK"] == "1":
        from recsys.ctr.training.batches import Epochs

        whole = Epochs.batches

        def few(self: Epochs, epoch: int, steps: int) -> Any:
            for number, batch in enumerate(whole(self, epoch, steps)):
                if number == 3:
                    os._exit(17)
                yield batch

        Epochs.batches = few  # type: ignore[method-assign]
    return run_rank(task)


def trains(task: TrainTask) -> dict[str, Any]:
    two = HorovodLauncher(ranks=2, start_timeout_seconds=120, stall_timeout_seconds=60).run(task)
    one = LocalLauncher().run(task)
    return {"two": two.metrics, "one": one.metrics, "weights": len(two.weights), "checksum": two.checksum}


def fails(task: TrainTask, launcher: HorovodLauncher) -> dict[str, Any]:
    started = time.monotonic()
    try:
        launcher.run(task)
    except RecsysError as error:
        return {"kind": type(error).__name__, "error": str(error), "seconds": time.monotonic() - started}
    return {"kind": "none"}


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    spark = session()
    with tempfile.TemporaryDirectory() as good, tempfile.TemporaryDirectory() as bad:
        out = trains(shop.task(Path(good), rows=6000, shards=3, epochs=3))
        small = shop.task(Path(bad), rows=3000, shards=2, epochs=3)
        dying = HorovodLauncher(ranks=2, start_timeout_seconds=120, stall_timeout_seconds=30, rank_function=dies)
        out["dies"] = fails(small, dying)
        short = shop.task(Path(bad), rows=3000, shards=2, epochs=3, min_examples=10**6)
        out["short"] = fails(short, HorovodLauncher(ranks=2, start_timeout_seconds=120))
        out["slots"] = fails(small, HorovodLauncher(ranks=3, start_timeout_seconds=4))
    spark.stop()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
