"""Which items are a user's latest, where many have one time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.retrieval.audience import Audience, packed
from recsys.retrieval.frames import latest_first
from tests.retrieval.shop import AS_OF, index

pytestmark = pytest.mark.fast


def test_items_of_one_time_are_ordered_by_a_hash_and_everywhere_in_the_same_way(spark: SparkSession) -> None:
    users, items = [f"u{n}" for n in range(20)], [f"i{n}" for n in range(6)]
    at = AS_OF - timedelta(days=1)
    rows = [(user, item, 1.0, at, False) for user in users for item in items]
    rows += [(user, "newest", 1.0, at + timedelta(hours=1), False) for user in users]
    histories = spark.createDataFrame(
        rows, "user_id string, item_id string, weight double, last_time timestamp, seen boolean"
    )
    numbers = index(spark, "item", [*items, "newest"])
    people = spark.createDataFrame([(user, None) for user in users], "user_id string, segment string")
    ranked = histories.withColumn("place", F.row_number().over(latest_first())).join(numbers, on="item_id")
    by_window: dict[str, dict[int, int]] = {}
    for row in ranked.collect():
        by_window.setdefault(row["user_id"], {})[row["place"]] = row["idx"]
    by_kernel = {row["user_id"]: row["idx"] for row in packed(Audience(people, histories, numbers), {}).collect()}
    assert by_kernel == {user: [mine[place] for place in sorted(mine)] for user, mine in by_window.items()}
    newest = {row["item_id"]: row["idx"] for row in numbers.collect()}["newest"]
    assert {mine[0] for mine in by_kernel.values()} == {newest}
    assert len({mine[1] for mine in by_kernel.values()}) > 3, "not everybody has the same item next"
