"""Top-k over a catalog above the broadcast limit, by a driver with little memory, in CPU-seconds.

`python -m benchmarks.topk_blocks` makes two million items and 2,000 users of rank 8 from hashes, in a session whose
only JVM, driver and executor in one, has 1 GiB, and asks for the 20 best of each with a limit of 32 MB. It ends with an
error if more than one row of anything comes to the driver's Python, if a list is not full, or if the best score of one
user in five hundred is not the largest inner product. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import Meter, describe
from recsys import arrow
from recsys.retrieval.vectors.topk import top_k
from recsys.spark import local_session

K, RANK, CHECKED = 20, 8, 500


def factors(spark: SparkSession, n: int, entity: str) -> DataFrame:
    """Make `idx, <entity>_id, factors`: numbers from -1 to 1 that follow from the id."""

    def number(place: Column) -> Column:
        return (F.hash(F.col("id"), place, F.lit(entity)) / F.lit(2.0**31)).cast("float")

    vector = F.transform(F.sequence(F.lit(1), F.lit(RANK)), number)
    ids = F.concat(F.lit(entity[0]), F.lpad(F.col("id").cast("string"), 8, "0"))
    idx = (F.col("id") + 1).cast("int").alias("idx")
    return spark.range(0, n, numPartitions=4).select(idx, ids.alias(f"{entity}_id"), vector.alias("factors"))


@contextmanager
def watched(kind: type[DataFrame]) -> Iterator[list[int]]:
    """Note how many rows come to the driver's Python, each time."""
    counts: list[int] = []
    collect, collect_arrow = kind.collect, arrow.collect_arrow

    def rows(self: DataFrame) -> list[Any]:
        found = collect(self)
        counts.append(len(found))
        return found

    def table(frame: DataFrame) -> Any:
        found = collect_arrow(frame)
        counts.append(found.num_rows)
        return found

    kind.collect, arrow.collect_arrow = rows, table  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        kind.collect, arrow.collect_arrow = collect, collect_arrow  # type: ignore[method-assign]


def best_of(users: DataFrame, items: DataFrame) -> dict[str, float]:
    """The largest inner product of each user, by a join."""
    inner = F.zip_with(F.col("mine"), F.col("factors"), lambda one, other: one.cast("double") * other.cast("double"))
    total = F.aggregate(inner, F.lit(0.0), lambda sofar, part: sofar + part)
    pairs = items.crossJoin(F.broadcast(users.select("user_id", F.col("factors").alias("mine"))))
    return {row["user_id"]: row["best"] for row in pairs.groupBy("user_id").agg(F.max(total).alias("best")).collect()}


def main() -> None:
    """Search, count, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--driver-memory", default="1g")
    parser.add_argument("--limit-mb", type=float, default=32.0)
    args = parser.parse_args()
    spark = local_session("topk_blocks", cores=2, extra={"spark.driver.memory": args.driver_memory})
    items, users = factors(spark, args.items, "item"), factors(spark, args.users, "user")
    with Meter(period=0.1) as meter, watched(type(items)) as counts:
        before = meter.cpu_seconds()
        found = top_k(users, items, k=K, broadcast_limit_mb=args.limit_mb).persist()
        rows = found.count()
        cpu = round(meter.cpu_seconds() - before, 1)
        most = max(counts)
    if most > 1 or rows != K * args.users:
        raise SystemExit(f"{most} rows came to the driver at once, and {rows} of {K * args.users} were found")
    some = users.where(F.col("idx") % CHECKED == 0)
    first = found.where("rank = 1").join(some.select("user_id"), on="user_id", how="left_semi").collect()
    best = best_of(some, items)
    wrong = [row["user_id"] for row in first if abs(row["score"] - best[row["user_id"]]) > 1e-9]
    if wrong or len(first) != len(best):
        raise SystemExit(f"the best item of {', '.join(wrong) or 'some users'} is not found")
    metrics = {"items": args.items, "users": args.users, "rows": rows, "most_rows_collected": most, "cpu_s": cpu}
    print(json.dumps({"name": "topk_blocks", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
