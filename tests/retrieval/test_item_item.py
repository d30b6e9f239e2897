"""Neighbors against a count in Python."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import pytest
from pyspark.sql import SparkSession

from recsys.retrieval.audience import Audience
from recsys.retrieval.item_item.retriever import ItemItem, ItemItemModel
from tests.retrieval.shop import FUTURE, SIGNAL, Row, index, log_of, made_up, table

pytestmark = pytest.mark.spark


def oracle(
    rows: list[Row], *, k: int, cap: int, b: float, a: float, c: float, least: int
) -> list[tuple[str, int, str, float, int]]:
    last: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.hours > 0 and not row.bot:
            last[row.user][row.item] = min(row.hours, last[row.user].get(row.item, 1e9))
    n_i: dict[str, int] = defaultdict(int)
    total: dict[tuple[str, str], float] = defaultdict(float)
    support: dict[tuple[str, str], int] = defaultdict(int)
    for items in last.values():
        for item in items:
            n_i[item] += 1
        for pair in permutations(sorted(items, key=lambda i: items[i])[:cap], 2):
            total[pair] += len(items) ** -b
            support[pair] += 1
    lists: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (i, j), value in total.items():
        if support[i, j] >= least:
            lists[i].append((-round(value / ((n_i[i] + 3) ** a * (n_i[j] + 3) ** c), 10), j))
    return sorted(
        (i, rank, j, -score, support[i, j]) for i in lists for rank, (score, j) in enumerate(sorted(lists[i])[:k], 1)
    )


def test_against_a_count(spark: SparkSession) -> None:
    """From events to lists, by one set of powers; the other formulas are counted without Spark."""
    rows = [*made_up(), Row("robot", "i000", bot=True), Row("robot", "i029", bot=True)]
    retriever = ItemItem(keep=5, max_history=4, user_power=0.5, source_power=0.5, target_power=0.35, smoothing=3)
    frame = retriever.fit(log_of(spark, rows + FUTURE), signal=SIGNAL, broadcast_limit_mb=1e-6).frames["neighbors"]
    found = sorted((r["item_id"], r["rank"], r["score"], r["support"], r["neighbor_id"]) for r in frame.collect())
    expected = oracle(rows, k=5, cap=4, b=0.5, a=0.5, c=0.35, least=2)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([score for _, _, _, score, _ in expected], rel=1e-6)
    pairs = {(i, j, both) for i, _, j, _, both in oracle(rows, k=1000, cap=4, b=0.5, a=0.5, c=0.35, least=2)}
    assert {(i, j, both) for i, _, _, both, j in found} <= pairs


def test_because_is_what_contributed_most(spark: SparkSession) -> None:
    neighbors = spark.createDataFrame(
        [("a", 1, "x", 0.5, 2), ("b", 1, "x", 0.4, 2), ("b", 2, "y", 0.3, 2), ("old", 1, "z", 9.0, 2)],
        "item_id string, rank int, neighbor_id string, score double, support bigint",
    )
    histories = spark.createDataFrame(
        [("u", "a", 1.0, 10), ("u", "b", 2.0, 9), ("u", "old", 2.0, 1), ("v", "old", 1.0, 1)],
        "user_id string, item_id string, weight double, last_time int",
    ).withColumn("last_time", _timestamp("last_time"))
    users = spark.createDataFrame([("u",)], "user_id string")
    audience = Audience(users, histories, index(spark, "item", ["a", "b", "old", "x", "y", "z"]))
    found = ItemItemModel(ItemItem(recent_items=2), {"neighbors": neighbors}, audience).lists(users, k=5)
    assert table(found) == [("u", "x", 1, 0.5 * 0.5 + 0.4, "b"), ("u", "y", 2, 0.3, "b")]


def _timestamp(column: str):  # type: ignore[no-untyped-def]
    from pyspark.sql import functions as F

    return F.timestamp_seconds(column)
