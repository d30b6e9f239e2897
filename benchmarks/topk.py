"""What exact top-k with exclusion costs, beside faiss alone and beside MLlib without exclusion, in CPU-seconds.

`python -m benchmarks.topk` makes 30,000 users, 20,000 items and factors of rank 64 (a fixed seed), and asks for the 50
best items of each user without the 50 that they have seen. In one warm session, the three in turn, `--pairs` times:

- `ours`: `top_k` from frames of factors and of seen pairs, with the join that gathers them, into Spark's sink for
  nothing. `packed` is the part that is left where the seen items are already one array per user, as in `candidates`.
- `faiss`: its flat index in this process and nothing else: no Spark, no ids. It fetches 100 items and takes those that
  a bitmap of seen pairs lets through.
- `mllib`: `ALSModel.recommendForAllUsers`, which excludes nothing.

Everything has one BLAS thread. `overhead_vs_faiss` is packed over faiss, `overhead_vs_faiss_with_join` ours over faiss,
`speedup_vs_mllib` MLlib over packed, `speedup_vs_mllib_with_join` MLlib over ours: medians of the ratios of the pairs.
With `--hnsw` it compares a graph and cells of `--items` items with looking at all of them: see `benchmarks.hnsw`.
The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import hnsw
from benchmarks.machine import Meter, describe
from recsys.retrieval.vectors.topk import excluded_idx, search_packed, top_k
from recsys.spark import local_session

USERS, ITEMS, RANK, K, SEEN = 30_000, 20_000, 64, 50, 50
BATCH = 4096


def made(folder: Path) -> tuple[Any, Any, Any]:
    """Draw factors and seen items, and write them as Parquet."""
    random = np.random.default_rng(7)
    users, items = (random.normal(size=(n, RANK)).astype(np.float32) for n in (USERS, ITEMS))
    seen = np.stack([random.choice(ITEMS, SEEN, replace=False) for _ in range(USERS)])
    for name, vectors in (("user", users), ("item", items)):
        rows = pa.ListArray.from_arrays(np.arange(len(vectors) + 1, dtype=np.int32) * RANK, pa.array(vectors.ravel()))
        idx = pa.array(np.arange(len(vectors)), pa.int32())
        ids = pa.array([f"{name}{i:07d}" for i in range(len(vectors))])
        pq.write_table(pa.table({"idx": idx, f"{name}_id": ids, "factors": rows}), folder / f"{name}.parquet")
    pairs = {
        "user_id": [f"user{i:07d}" for i in np.repeat(np.arange(USERS), SEEN)],
        "item_id": [f"item{i:07d}" for i in seen.ravel()],
    }
    pq.write_table(pa.table(pairs), folder / "seen.parquet")
    return users, items, seen


def by_faiss(users: Any, items: Any, seen: Any) -> None:
    """Search as a program without Spark would: a flat index, and a bitmap of what is excluded."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(RANK)
    index.add(items)
    for start in range(0, USERS, BATCH):
        score, item = index.search(users[start : start + BATCH], K + SEEN)
        away = np.zeros((len(item), ITEMS), dtype=np.bool_)
        away[np.arange(len(item))[:, None], seen[start : start + BATCH]] = True
        free = ~np.take_along_axis(away, item, axis=1)
        first = free & (np.cumsum(free, axis=1) <= K)
        item[first].reshape(-1, K), score[first].reshape(-1, K)


def mllib_model(spark: SparkSession, users: DataFrame, items: DataFrame, folder: Path) -> ALSModel:
    """Put the factors into a model of MLlib, by way of its files."""
    rows = spark.createDataFrame([(u, i, 1.0) for u in range(4) for i in range(4)], "user int, item int, rating float")
    ALS(rank=RANK, maxIter=1, numUserBlocks=2, numItemBlocks=2).fit(rows).write().overwrite().save(str(folder))
    for name, frame in (("userFactors", users), ("itemFactors", items)):
        plain = frame.select(F.col("idx").alias("id"), F.col("factors").alias("features"))
        plain.write.mode("overwrite").parquet(str(folder / name))
    model = ALSModel.load(str(folder))
    assert model.userFactors.count() == USERS and model.itemFactors.count() == ITEMS
    return model


def ways(spark: SparkSession, folder: Path) -> dict[str, Callable[[], None]]:
    """Return what is compared, each ready to run."""
    arrays = made(folder)
    users, items, seen = (
        spark.read.parquet(str(folder / f"{name}.parquet")).repartition(8).persist()
        for name in ("user", "item", "seen")
    )
    packed = users.join(excluded_idx(seen, items), on="user_id", how="left").persist()
    for frame in (users, items, seen, packed):
        frame.count()
    model = mllib_model(spark, users, items, folder / "mllib")

    def drop(frame: DataFrame) -> None:
        frame.write.format("noop").mode("overwrite").save()

    return {
        "faiss": lambda: by_faiss(*arrays),
        "packed": lambda: drop(search_packed(packed.select("user_id", "factors", "excluded"), items, K)),
        "ours": lambda: drop(top_k(users, items, k=K, exclude=seen)),
        "mllib": lambda: drop(model.recommendForAllUsers(K)),
    }


def main() -> None:
    """Run each way once to warm up, then all in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hnsw", action="store_true", help="search a large catalog by a graph or cells")
    parser.add_argument("--items", type=int, default=1_000_000, help="items of --hnsw")
    parser.add_argument("--users", type=int, default=500, help="users of --hnsw")
    parser.add_argument("--ways", nargs="+", choices=hnsw.WAYS, default=list(hnsw.WAYS), help="ways of --hnsw")
    args = parser.parse_args()
    if args.hnsw:
        metrics = hnsw.compare(args.items, args.users, RANK, K, args.ways)
        print(json.dumps({"name": "topk-hnsw", "metrics": metrics, "machine": describe()}))
        return
    pairs = args.pairs
    spark = local_session("topk", cores=2, extra={"spark.driver.memory": "2g"})
    costs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Meter(period=0.1) as meter:
        for turn, (name, go) in enumerate(list(ways(spark, Path(folder)).items()) * (pairs + 1)):
            before = meter.cpu_seconds()
            go()
            if turn >= 4:
                costs.setdefault(name, []).append(round(meter.cpu_seconds() - before, 2))

    def ratio(over: str, under: str) -> float:
        return round(statistics.median(a / b for a, b in zip(costs[over], costs[under], strict=True)), 2)

    metrics = {
        "overhead_vs_faiss": ratio("packed", "faiss"),
        "overhead_vs_faiss_with_join": ratio("ours", "faiss"),
        "speedup_vs_mllib": ratio("mllib", "packed"),
        "speedup_vs_mllib_with_join": ratio("mllib", "ours"),
        "cpu_s": costs,
    }
    print(json.dumps({"name": "topk", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
