"""What the ALS retriever costs beside a bare `ALS.fit`, in CPU-seconds.

`python -m benchmarks.als` draws a million interactions of 30,000 users and 8,000 items (a fixed seed, a long tail). In
one warm session, the two in turn, `--pairs` times, with rank 64 and 4 alternations:

- `ours`: `Als.fit` from interactions with public ids and the two indexes: joins, thinning, size, order, the fit, and
  the factors with their ids, into Spark's sink for nothing.
- `mllib`: `ALS.fit` from integers and floats that are in memory, as many blocks, and its factors into the same sink.

`overhead_vs_mllib` is the median of the ratios of the pairs. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import Meter, describe
from recsys.data.log import Log
from recsys.retrieval.als.retriever import Als
from recsys.spark import local_session

USERS, ITEMS, PAIRS = 30_000, 8_000, 1_000_000
RETRIEVER = Als(rank=64, iterations=4, reg=0.1, alpha=2.0)
BLOCKS = 2
AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
EVENT = (
    "event_id string, user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "is_bot boolean"
)


def made(folder: Path) -> None:
    """Draw pairs of users and items, both with a long tail, and write them with their indexes."""
    random = np.random.default_rng(3)
    keys = np.zeros(0, np.int64)
    while len(keys) < PAIRS:
        user = (USERS * random.random(PAIRS) ** 1.5).astype(np.int64)
        item = (ITEMS * random.random(PAIRS) ** 2).astype(np.int64)
        keys = np.unique(np.concatenate([keys, user * ITEMS + item]))
    user, item = np.divmod(random.permutation(keys)[:PAIRS], ITEMS)
    of_users, of_items = (np.array([f"{name}{i:07d}" for i in range(n)]) for name, n in (("u", USERS), ("i", ITEMS)))
    weight = random.integers(1, 6, PAIRS).astype(np.float64)
    pq.write_table(
        pa.table({"user_id": of_users[user], "item_id": of_items[item], "weight": weight}), folder / "pairs.parquet"
    )
    for name, ids in (("user", of_users), ("item", of_items)):
        idx = pa.array(np.arange(1, len(ids) + 1), pa.int32())
        pq.write_table(pa.table({f"{name}_id": ids, "idx": idx}), folder / f"{name}.parquet")


def drop(*frames: DataFrame) -> None:
    """Compute frames, and keep nothing."""
    for frame in frames:
        frame.write.format("noop").mode("overwrite").save()


def by_mllib(ready: DataFrame) -> None:
    """Fit as a program would that has integers at hand."""
    fitted = ALS(
        rank=RETRIEVER.rank,
        maxIter=RETRIEVER.iterations,
        regParam=RETRIEVER.reg,
        alpha=RETRIEVER.alpha,
        implicitPrefs=True,
        numUserBlocks=BLOCKS,
        numItemBlocks=BLOCKS,
        seed=RETRIEVER.seed,
        userCol="user_idx",
        itemCol="item_idx",
        ratingCol="weight",
    ).fit(ready)
    drop(fitted.userFactors, fitted.itemFactors)


def frames(spark: SparkSession, folder: Path) -> tuple[Log, DataFrame, DataFrame]:
    """Return a log with its indexes, the interactions, and what MLlib is given: all in memory."""
    made(folder)
    users, items, pairs = (
        spark.read.parquet(str(folder / f"{name}.parquet")).repartition(4).persist()
        for name in ("user", "item", "pairs")
    )
    log = Log(spark.createDataFrame([], EVENT), AS_OF, user_index=users, item_index=items)
    ready = (
        pairs.join(users.withColumnRenamed("idx", "user_idx"), on="user_id", how="inner")
        .join(items.withColumnRenamed("idx", "item_idx"), on="item_id", how="inner")
        .select("user_idx", "item_idx", F.col("weight").cast("float").alias("weight"))
        .repartition(4)
        .persist()
    )
    for frame in (users, items, pairs, ready):
        frame.count()
    return log, pairs, ready


def main() -> None:
    """Run both once to warm up, then in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    spark = local_session("als", cores=2, extra={"spark.driver.memory": "2g"})
    costs: dict[str, list[float]] = {"ours": [], "mllib": []}
    with tempfile.TemporaryDirectory() as folder, Meter(period=0.1) as meter:
        log, interactions, ready = frames(spark, Path(folder))

        def ours() -> None:
            model = RETRIEVER.fit(log, interactions=interactions)
            drop(model.frames["user_factors"], model.frames["item_factors"])

        for turn in range(pairs + 1):
            for name, go in (("ours", ours), ("mllib", lambda: by_mllib(ready))):
                before = meter.cpu_seconds()
                go()
                cost = round(meter.cpu_seconds() - before, 2)
                print(f"turn {turn}: {name} {cost} CPU-seconds", file=sys.stderr)
                if turn:
                    costs[name].append(cost)
    ratio = statistics.median(a / b for a, b in zip(costs["ours"], costs["mllib"], strict=True))
    metrics = {"overhead_vs_mllib": round(ratio, 3), "cpu_s": costs}
    print(json.dumps({"name": "als", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
