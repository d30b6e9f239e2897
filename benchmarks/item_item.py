"""What item-item neighbors cost beside implicit's cosine on the same interactions, in CPU-seconds.

`python -m benchmarks.item_item [--interactions N] [--peer-python PATH]`: a made log with a long tail, read once into
Spark's memory (the job `retrievers` shares the interactions of all retrievers in the same way) and fitted in a warm
session. Beside it, in a process of its own and on one thread: implicit's cosine, if the interpreter of `--peer-python`
has the package, and the bare scipy product of the same capped histories with its 100 best per row.
The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import Meter, describe
from recsys.data.log import Log
from recsys.retrieval.frames import persisted
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.neighborhoods.histories import latest
from recsys.spark import local_session

AS_OF = datetime(2024, 1, 2, tzinfo=UTC)
CAP, KEEP = 100, 100
IMPLICIT = """
import sys, time, numpy as np, scipy.sparse as sp
from implicit.nearest_neighbours import CosineRecommender
z = np.load(sys.argv[1])
x = sp.csr_matrix((np.ones(len(z["user"])), (z["user"], z["item"])))
start = time.process_time()
CosineRecommender(K=100, num_threads=1).fit(x, show_progress=False)
print(time.process_time() - start)
"""
PRODUCT = """
import sys, time, numpy as np, scipy.sparse as sp
z = np.load(sys.argv[1])
x = sp.csr_matrix((np.ones(len(z["capped_user"])), (z["capped_user"], z["capped_item"])))
start = time.process_time()
turned = x.T.tocsr()
for at in range(0, x.shape[1], 500):
    product = turned[at : at + 500] @ x
    for row in range(product.shape[0]):
        values = product.data[product.indptr[row] : product.indptr[row + 1]]
        if len(values) > 100:
            np.argpartition(values, len(values) - 100)
print(time.process_time() - start)
"""


def made(interactions: int, folder: Path, seed: int = 1) -> tuple[Path, Path]:
    """Make users whose number of items is lognormal and items of a long tail; return Parquet and arrays."""
    random = np.random.default_rng(seed)
    users, items = max(100, interactions // 70), max(100, int(20_000 * (interactions / 3.5e6) ** 0.5))
    shares = 1.0 / (np.arange(items) + 20.0) ** 0.8
    sizes = np.clip(random.lognormal(4.0, 0.7, users), 5, 2000)
    sizes = np.maximum(2, sizes * interactions / sizes.sum()).astype(np.int64)
    drawn = random.choice(items, int(sizes.sum()), p=shares / shares.sum())
    user, item = np.divmod(np.unique(np.repeat(np.arange(users), sizes) * items + drawn), items)
    at = random.integers(0, 86_400 * 300, len(user))
    kept = latest(user, user, item, at, np.bincount(user, minlength=users), CAP)
    np.savez(folder / "pairs.npz", user=user, item=item, capped_user=user[kept], capped_item=item[kept])
    names = {
        "user": pa.array([f"u{n:07d}" for n in range(users)]),
        "item": pa.array([f"i{n:06d}" for n in range(items)]),
    }
    columns = {
        "user_id": names["user"].take(pa.array(user)),
        "item_id": names["item"].take(pa.array(item)),
        "age": pa.array(at),
    }
    pq.write_table(pa.table(columns), folder / "log.parquet", row_group_size=500_000)
    return folder / "log.parquet", folder / "pairs.npz"


def fit(spark: SparkSession, seen: DataFrame, log: Log, meter: Meter) -> float:
    """CPU-seconds of one fit, its rows written to nowhere."""
    before = meter.cpu_seconds()
    retriever = ItemItem(keep=KEEP, max_history=CAP)
    retriever.fit(log, interactions=seen).frames["neighbors"].write.format("noop").mode("overwrite").save()
    return meter.cpu_seconds() - before


def log_of(spark: SparkSession, path: Path) -> tuple[DataFrame, Log]:
    """The interactions, and a log whose index has their items."""
    rows = spark.read.parquet(str(path))
    seen = rows.select(
        "user_id",
        "item_id",
        F.lit(1.0).alias("weight"),
        F.timestamp_seconds(F.lit((AS_OF - timedelta(days=1)).timestamp()) - F.col("age")).alias("last_time"),
        F.lit(1).alias("n"),
    )
    index = (
        rows.select("item_id").distinct().select("item_id", (F.substring("item_id", 2, 6).cast("int") + 1).alias("idx"))
    )
    nobody = F.lit(False).alias("is_bot"), F.lit("view").alias("event_type"), F.lit(None).cast("double").alias("value")
    events = seen.select("user_id", "item_id", F.col("last_time").alias("event_time"), *nobody)
    users = rows.limit(1).select("user_id", F.lit(1).alias("idx"))
    return seen, Log(events, AS_OF, user_index=users, item_index=index.localCheckpoint())


def peer(python: str, code: str, arrays: Path) -> float | None:
    """CPU-seconds that a peer says it took; None if it can't run."""
    done = subprocess.run(
        [python, "-c", code, str(arrays)],
        capture_output=True,
        text=True,
        env={"OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Make a log, fit three times (the last one counts), run the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=3_500_000)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has implicit")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path, arrays = made(args.interactions, Path(scratch))
        metrics = {"interactions": len(np.load(arrays)["user"])}
        spark = local_session("item_item", cores=2, extra={"spark.driver.memory": "2g"})
        rows, log = log_of(spark, path)
        with Meter() as meter, persisted(rows) as seen:
            seen.count()
            metrics["first_cpu_s"] = round(fit(spark, seen, log, meter), 1)
            metrics["second_cpu_s"] = round(fit(spark, seen, log, meter), 1)
            metrics["item_item_cpu_s"] = round(fit(spark, seen, log, meter), 1)
        for name, code in (("implicit", IMPLICIT), ("product", PRODUCT)):
            cpu = peer(args.peer_python, code, arrays)
            metrics[f"{name}_cpu_s"] = None if cpu is None else round(cpu, 1)
            metrics[f"cpu_ratio_{name}"] = None if cpu is None else round(metrics["item_item_cpu_s"] / cpu, 2)
    print(json.dumps({"name": "item_item", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
