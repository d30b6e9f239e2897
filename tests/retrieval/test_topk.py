"""Top-k on Spark: exact, ties by id, the same in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.arrow import collect_arrow
from recsys.retrieval.vectors import blocks, topk
from recsys.retrieval.vectors.graph import Graph
from recsys.retrieval.vectors.search import ItemMatrix
from recsys.retrieval.vectors.topk import top_k
from tests.retrieval.shop import table

pytestmark = pytest.mark.spark


def factors(spark: SparkSession, names: list[str], values: np.ndarray, entity: str) -> DataFrame:
    rows = [(i * 3 + 1, name, vector.tolist()) for i, (name, vector) in enumerate(zip(names, values, strict=True))]
    return spark.createDataFrame(rows, f"idx int, {entity}_id string, factors array<float>")


def test_exact_and_the_same_in_blocks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    # Small integers: many exact ties.
    of_users, of_items = (random.integers(-2, 3, size=(n, 3)).astype(np.float32) for n in (12, 50))
    user_names, item_names = [f"u{i}" for i in range(12)], [f"i{i}" for i in random.permutation(50)]
    users = factors(spark, user_names, of_users, "user")
    items = factors(spark, item_names, of_items, "item").repartition(5)
    exclude = {(f"u{u}", f"i{i}") for u, i in random.integers(0, (12, 50), size=(150, 2))}
    exclude |= {("u3", name) for name in item_names} | {("u4", name) for name in item_names[2:]} | {("u0", "gone")}
    excluded = spark.createDataFrame(sorted(exclude), "user_id string, item_id string")
    expected = []
    for u, name in enumerate(user_names):
        scored = sorted(
            (-float(of_items[i].astype(float) @ of_users[u].astype(float)), item)
            for i, item in enumerate(item_names)
            if (name, item) not in exclude
        )
        expected += [(name, item, rank, -score) for rank, (score, item) in enumerate(scored[:7], 1)]
    whole = top_k(users, items, k=7, exclude=excluded)
    assert table(whole) == sorted(expected, key=repr)
    # Three blocks, and two groups of users. All that comes to the driver is one row with the size.
    monkeypatch.setattr(blocks, "_USERS", 6)
    monkeypatch.setattr(topk, "search_packed", None)
    monkeypatch.setattr("recsys.arrow.collect_arrow", None)
    monkeypatch.setattr(topk, "share", None)
    collect, collected = type(items).collect, list[int]()
    with monkeypatch.context() as spied:
        spied.setattr(type(items), "collect", lambda frame: collected.append(len(rows := collect(frame))) or rows)
        cut = top_k(users, items, k=7, exclude=excluded, broadcast_limit_mb=0.001)
        cut.write.format("noop").mode("overwrite").save()
    assert collected == [1]
    assert table(cut.select(whole.columns)) == sorted(expected, key=repr)


def test_without_items_or_users(spark: SparkSession) -> None:
    one = factors(spark, ["a"], np.ones((1, 2), np.float32), "user")
    none = spark.createDataFrame([], "idx int, item_id string, factors array<float>")
    assert top_k(one, none, k=3).count() == 0
    items = factors(spark, ["b"], np.ones((1, 2), np.float32), "item")
    assert top_k(one.where("false"), items, k=3).count() == 0
    assert table(top_k(one, items, k=3)) == [("a", "b", 1, 2.0)]


def test_collect_arrow_keeps_rows_and_types(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", [1.0, 2.0]), ("b", None)], "name string, values array<float>").repartition(3)
    collected = collect_arrow(frame).sort_by("name")
    assert collected.to_pylist() == [{"name": "a", "values": [1.0, 2.0]}, {"name": "b", "values": None}]
    assert collect_arrow(frame.where("false")).num_rows == 0


def test_a_graph_gives_full_lists_with_exact_scores(spark: SparkSession) -> None:
    """So wide a search looks at every item, so the rows are those of exact search."""
    random = np.random.default_rng(6)
    users = factors(spark, [f"u{i}" for i in range(5)], random.normal(size=(5, 4)).astype(np.float32), "user")
    items = factors(spark, [f"i{i:03d}" for i in range(300)], random.normal(size=(300, 4)).astype(np.float32), "item")
    excluded = spark.createDataFrame([("u1", f"i{i:03d}") for i in range(200)], "user_id string, item_id string")
    built: list[int] = []

    def graph_of(matrix: ItemMatrix, limit_mb: float) -> Graph:
        built.append(len(matrix.positions))
        return Graph.of(matrix, width=300)

    found, exact = (top_k(users, items, k=9, exclude=excluded, graph_of=how) for how in (graph_of, None))
    assert table(found) == table(exact) and built == [300]
