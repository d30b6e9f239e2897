"""Vectors of items: what is learned from, and which items are nearest to a user's latest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.errors import NothingToDo
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience
from recsys.retrieval.catalog import Catalog
from recsys.retrieval.frames import Eligible
from recsys.retrieval.item2vec.kernel import VectorKernel, unit
from recsys.retrieval.item2vec.retriever import Item2Vec, Item2VecModel
from recsys.retrieval.item2vec.sentences import Sentences
from recsys.retrieval.item2vec.training import vocabulary
from recsys.retrieval.kernels import Batch, Excluded
from tests.retrieval.shop import SIGNAL, Row, index, log_of, table

pytestmark = pytest.mark.spark


def catalog(names: str) -> Catalog:
    ids = pa.table({"item_id": pa.array(list(names)), "idx": pa.array(range(1, len(names) + 1), pa.int32())})
    return Catalog.of(ids, [pa.chunked_array([list(names)])])


def vectors_of(names: str, rows: np.ndarray, idx: list[int | None] | None = None) -> pa.Table:  # type: ignore[type-arg]
    whole = list(range(1, len(names) + 1)) if idx is None else idx
    listed = pa.array([row.tolist() for row in rows], pa.list_(pa.float32()))
    return pa.table({"item_id": list(names), "idx": pa.array(whole, pa.int32()), "vector": listed})


def random_units(n: int, width: int = 5) -> np.ndarray:  # type: ignore[type-arg]
    return unit(np.random.default_rng(3).normal(size=(n, width)))[1]


@pytest.mark.fast
def test_proposals_against_all_cosines() -> None:
    rows, names = random_units(12), "abcdefghijkl"
    kernel = VectorKernel.of(catalog(names), vectors_of(names, rows), recent_items=2, decay=0.5)
    # The first user touched c, a and b, the latest first; the second nothing.
    batch = Batch(pa.record_batch({"user_id": ["u", "v"]}), np.zeros(3, np.int64), np.array([2, 0, 1]), np.ones(3))
    found = kernel.propose(batch, k=4, excluded=Excluded(np.array([0]), np.array([2]), 2, 12))
    taste = rows[2].astype(float) + 0.5 * rows[0]
    cosine = rows @ taste / np.linalg.norm(taste)
    cosine[2] = -2
    best = np.argsort(-cosine)[:4]
    assert found.user.tolist() == [0] * 4 and found.item.tolist() == best.tolist()
    assert found.score == pytest.approx(cosine[best], abs=1e-6)
    scores = kernel.score(batch, np.array([0, 0, 1, 0]), np.array([best[0], 2, 3, -1]))["score"]
    assert scores[0] == found.score[0] and scores[1] == pytest.approx(rows[2] @ taste / np.linalg.norm(taste), abs=1e-6)
    assert np.isnan(scores[2:]).all()


@pytest.mark.fast
def test_what_is_not_listed_leads_but_is_not_proposed() -> None:
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    kernel = VectorKernel.of(catalog("abc"), vectors_of("abc", rows, [None, 2, 3]), recent_items=9, decay=1.0)
    batch = Batch(pa.record_batch({"user_id": ["u"]}), np.zeros(1, np.int64), np.array([0]), np.ones(1))
    found = kernel.propose(batch, k=3, excluded=Excluded(np.zeros(0, np.int64), np.zeros(0, np.int64), 1, 3))
    assert found.item.tolist() == [1, 2] and found.score == pytest.approx([0.8, 0.0])


@pytest.mark.fast
def test_vectors_without_a_length_are_no_taste() -> None:
    known, rows = unit(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0]]))
    assert known.tolist() == [0] and rows == pytest.approx(np.array([[0.6, 0.8]]))


@pytest.mark.fast
def test_sentences_are_the_latest_touches_in_order() -> None:
    touched = {"u": [7, 7, 7, 7, 2], "idx": [11, 12, 12, 13, 11], "at": [1, 5, 6, 9, 3], "step": [0] * 5}
    rows = [row for batch in Sentences(2).write([pa.record_batch(touched)]) for row in batch.to_pylist()]
    assert rows == [{"u": 7, "items": ["12", "13"]}]


def test_the_least_touched_get_no_vector(spark: SparkSession) -> None:
    """a occurs 3 times, b and c twice, d once: with room for two items, a alone is left."""
    rows = [(1, ["a", "b", "c"]), (2, ["a", "b", "d"]), (3, ["a", "c"])]
    written = spark.createDataFrame(rows, "u bigint, items array<string>")
    assert vocabulary(written, min_count=2, max_items=3) == (2, 3)
    assert vocabulary(written, min_count=2, max_items=2) == (3, 1)
    assert vocabulary(written, min_count=4, max_items=9) == (4, 0)


def test_items_that_are_touched_together_are_near(spark: SparkSession) -> None:
    """Two groups that no user mixes: what is nearest to an item is of its group."""
    which = np.random.default_rng(1).integers(0, 4, (120, 12))
    rows = [Row(f"u{u}", f"{'ab'[u % 2]}{which[u, i]}", hours=30 - i) for u in range(120) for i in range(12)]
    model = Item2Vec(vector_size=8, min_count=2, iterations=10, learning_rate=0.2).fit(
        log_of(spark, [*rows, Row("u0", "rare")]), signal=SIGNAL
    )
    found = {row["item_id"]: np.array(row["vector"]) for row in model.frames["vectors"].collect()}
    assert set(found) == {f"{group}{i}" for group in "ab" for i in range(4)} and model.metrics["items"] == 8
    for name, vector in found.items():
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        others = sorted((other for other in found if other != name), key=lambda other: -float(found[other] @ vector))
        assert {other[0] for other in others[:3]} == {name[0]}


def test_joins_leave_the_unlisted_out_of_lists_alone(spark: SparkSession) -> None:
    rows = [("a", 1, [1.0, 0.0]), ("b", 2, [0.8, 0.6]), ("c", 3, [0.0, 1.0])]
    vectors = spark.createDataFrame(rows, "item_id string, idx int, vector array<float>")
    histories = spark.createDataFrame([("u", "a", 1.0, 9)], "user_id string, item_id string, weight double, at int")
    users = spark.createDataFrame([("u",), ("v",)], "user_id string")
    past = histories.withColumn("last_time", F.timestamp_seconds("at"))
    model = Item2VecModel(Item2Vec(), {"vectors": vectors}, Audience(users, past, index(spark, "item", list("abc"))))
    some = model.among(Eligible(spark.createDataFrame([("a",)], "item_id string"), listed=False))
    assert table(some.lists(users, k=5)) == [("u", "b", 1, pytest.approx(0.8)), ("u", "c", 2, pytest.approx(0.0))]


def test_too_little_to_learn_from(spark: SparkSession) -> None:
    with pytest.raises(NothingToDo, match="retrievers.item2vec.min_count"):
        Item2Vec().fit(log_of(spark, [Row("u", "a"), Row("u", "b", hours=2)]), signal=SIGNAL)


@pytest.mark.fast
def test_it_is_known_but_not_in_the_default_list() -> None:
    assert "item2vec" in registry.kinds() and "item2vec" not in [one.kind for one in registry.defaults()]
