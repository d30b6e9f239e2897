"""What is bought again beside "what this user bought most often", on the invoices of Online Retail II.

`python -m benchmarks.buy_again --data DIR` where DIR holds `online_retail_2009_2010.parquet`: NDCG@10 of the purchases
of the 30 days after an instant, over the users who bought before and after it; what a user buys for the first time
counts as missed. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

import recsys
from benchmarks.machine import describe
from recsys.retrieval.settings import SignalSettings
from recsys.spark import local_session

INSTANTS = (datetime(2010, 7, 1, tzinfo=UTC), datetime(2010, 9, 1, tzinfo=UTC), datetime(2010, 11, 1, tzinfo=UTC))
HORIZON = timedelta(days=30)
K = 10


def most_often(past: DataFrame) -> DataFrame:
    """`user_id, item_id, rank`: by the days on which a user bought an item, of equals the latest, then by id."""
    counted = past.groupBy("user_id", "item_id").agg(
        F.count_distinct(F.to_date("event_time")).alias("n"), F.max("event_time").alias("last")
    )
    order = W.Window.partitionBy("user_id").orderBy(F.desc("n"), F.desc("last"), "item_id")
    return counted.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= K)


def ndcg(lists: DataFrame, truth: DataFrame) -> tuple[float, int]:
    """Mean over the users of `truth`, and their number."""
    gains = 1 / np.log2(np.arange(K) + 2)
    wanted = {row["user_id"]: set(row["items"]) for row in truth.collect()}
    found = dict.fromkeys(wanted, 0.0)
    for row in lists.select("user_id", "item_id", "rank").collect():
        if row["item_id"] in wanted.get(row["user_id"], ()):
            found[row["user_id"]] += gains[row["rank"] - 1]
    return float(np.mean([found[user] / gains[: len(items)].sum() for user, items in wanted.items()])), len(wanted)


def main() -> None:
    """Judge both lists at each instant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    path = parser.parse_args().data / "online_retail_2009_2010.parquet"
    spark = local_session("buy_again", cores=2, extra={"spark.driver.memory": "2g"})
    product = F.col("StockCode").rlike("^[0-9]{5}") & (F.col("Price") > 0) & ~F.col("Invoice").startswith("C")
    rows = spark.read.parquet(str(path)).where(product & F.col("Customer ID").isNotNull())
    events = rows.select(
        F.col("Customer ID").cast("int").cast("string").alias("user_id"),
        F.upper("StockCode").alias("item_id"),
        F.lit("purchase").alias("event_type"),
        F.col("InvoiceDate").cast("timestamp").alias("event_time"),
        F.lit(None).cast("double").alias("value"),
        F.lit(False).alias("is_bot"),
    ).localCheckpoint()
    metrics: dict[str, float] = {}
    for at in INSTANTS:
        past = events.where(F.col("event_time") < F.lit(at))
        after = events.where((F.col("event_time") >= F.lit(at)) & (F.col("event_time") < F.lit(at + HORIZON)))
        known = after.join(past.select("user_id").distinct(), on="user_id", how="left_semi")
        truth = known.groupBy("user_id").agg(F.collect_set("item_id").alias("items")).localCheckpoint()
        model = recsys.BuyAgain().fit(recsys.Log(past, at), signal=SignalSettings(weights={"purchase": 1.0}))
        lists = {
            "buy_again": model.recommend(truth.select("user_id"), k=K, exclude_seen=False),
            "most_often": most_often(past),
        }
        for name, frame in lists.items():
            value, users = ndcg(frame, truth)
            metrics[f"ndcg@10/{name}/{at:%Y-%m-%d}"] = round(value, 4)
        metrics[f"users/{at:%Y-%m-%d}"] = users
        metrics[f"repeat_share/{at:%Y-%m-%d}"] = round(model.metrics["repeat_share"], 4)
    print(json.dumps({"name": "buy_again", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
