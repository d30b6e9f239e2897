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
        for pair in permutations(sorted(items, key=lambda i: (items[i], i))[:cap], 2):
            total[pair] += len(items) ** -b
            support[pair] += 1
    lists: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for (i, j), value in total.items():
        if support[i, j] >= least:
            lists[i].append((-round(value / (n_i[i] ** a * n_i[j] ** c), 7), j))
    return sorted(
        (i, rank, j, -score, support[i, j]) for i in lists for rank, (score, j) in enumerate(sorted(lists[i])[:k], 1)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"k": 5, "cap": 100, "b": 0.5, "a": 0.5, "c": 0.35, "least": 2},
        {"k": 100, "cap": 4, "b": 0.0, "a": 0.5, "c": 0.5, "least": 1},
    ],
)
def test_against_a_count(spark: SparkSession, settings: dict[str, float]) -> None:
    rows = [*made_up(), Row("robot", "i000", bot=True), Row("robot", "i029", bot=True)]
    retriever = ItemItem(
        keep=int(settings["k"]),
        max_history=int(settings["cap"]),
        user_power=settings["b"],
        source_power=settings["a"],
        target_power=settings["c"],
        min_support=int(settings["least"]),
    )
    found = [
        (r["item_id"], r["rank"], r["neighbor_id"], round(r["score"], 7), r["support"])
        for r in retriever.fit(log_of(spark, rows + FUTURE), signal=SIGNAL).frames["neighbors"].collect()
    ]
    expected = oracle(rows, **settings)  # type: ignore[arg-type]
    # Equal scores may differ in the eighth digit: compare lists by their scores, and members where scores are apart.
    assert [(i, rank, score) for i, rank, _, score, _ in sorted(found)] == [(i, r, s) for i, r, _, s, _ in expected]
    assert {row[0:1] + row[2:] for row in found if row[1] == 1} <= {
        row[0:1] + row[2:] for row in oracle(rows, **{**settings, "k": 1000})
    }  # type: ignore[arg-type]


def test_ties_by_id_and_the_small_limit_takes_the_join(spark: SparkSession) -> None:
    rows = [Row(user, item, hours=1) for user in ("u", "v") for item in ("d", "b", "c", "a")]
    small = ItemItem(keep=2).fit(log_of(spark, rows), broadcast_limit_mb=1e-6).frames["neighbors"]
    large = ItemItem(keep=2).fit(log_of(spark, rows, partitions=5)).frames["neighbors"]
    assert table(small) == table(large)
    lists = {r["item_id"]: [] for r in small.collect()}  # type: dict[str, list[str]]
    for row in small.orderBy("item_id", "rank").collect():
        lists[row["item_id"]].append(row["neighbor_id"])
    assert lists == {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"], "d": ["a", "b"]}


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
