"""Random lists: uniform, full, reproducible, and another one for each instant."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from recsys.retrieval.kernels import Batch, Excluded, Proposals
from recsys.retrieval.random_items.drawing import prime_from
from recsys.retrieval.random_items.kernel import RandomKernel
from recsys.retrieval.random_items.retriever import RandomItems
from tests.retrieval.shop import AS_OF, SIGNAL, Row, log_of


def draw(n_users: int, n_items: int, k: int, excluded: list[tuple[int, int]] | None = None) -> Proposals:
    random = np.random.default_rng(3)
    columns = [pa.array(random.integers(0, 1 << 62, n_users)) for _ in range(2)]
    rows = pa.RecordBatch.from_arrays(columns, names=["random:start", "random:step"])
    none = np.zeros(0, np.int64)
    user, item = np.array(sorted(excluded or [(0, -1)]), np.int64).T
    kernel = RandomKernel("random", np.arange(n_items))
    batch = Batch(rows, none, none, np.zeros(0))
    return kernel.propose(batch, k=k, excluded=Excluded(user, item, n_users, n_items))


@pytest.mark.fast
def test_every_item_and_every_pair_is_drawn_as_often_as_any_other() -> None:
    n_users, n_items, k = 40_000, 7, 3
    found = draw(n_users, n_items, k)
    lists = found.item.reshape(n_users, k)
    assert all(len(set(row)) == k for row in lists[:100].tolist())
    expected = n_users * k / n_items
    for place in range(k):
        counts = np.bincount(lists[:, place], minlength=n_items)
        assert np.abs(counts - expected / k).max() < 5 * np.sqrt(expected / k)
    pairs = Counter(tuple(sorted(row)) for row in lists[:, :2].tolist())
    assert len(pairs) == 21 and max(abs(n - n_users / 21) for n in pairs.values()) < 5 * np.sqrt(n_users / 21)


@pytest.mark.fast
@pytest.mark.parametrize(("n_items", "k"), [(1, 1), (1, 5), (2, 2), (8, 8), (24, 30), (90, 90)])
def test_a_list_holds_all_that_is_not_excluded(n_items: int, k: int) -> None:
    excluded = [(0, item) for item in range(0, n_items, 2)] + [(2, 0)]
    found = draw(4, n_items, k, excluded)
    for user in range(4):
        mine = found.user == user
        left = set(range(n_items)) - {item for who, item in excluded if who == user}
        assert set(found.item[mine].tolist()) == left
        assert found.rank[mine].tolist() == list(range(1, len(left) + 1))
        assert (np.diff(found.score[mine]) < 0).all() and (found.score[mine] > 0).all()


@pytest.mark.fast
def test_primes() -> None:
    assert [prime_from(n) for n in (0, 1, 2, 4, 9, 25, 100_000)] == [2, 2, 2, 5, 11, 29, 100_003]


@pytest.mark.spark
def test_what_may_be_drawn_and_when_it_changes(spark: SparkSession) -> None:
    catalog: list[tuple[Any, ...]] = [
        ("new", True, AS_OF - timedelta(days=1)),
        ("late", True, AS_OF),
        ("gone", False, None),
        *((f"c{n}", True, None) for n in range(30)),
    ]
    items = spark.createDataFrame(catalog, "item_id string, available boolean, added_at timestamp")
    rows = [Row("u", "gone"), Row("u", "sold"), Row("robot", "nothing", bot=True), Row("u", "future", hours=-1)]
    log = replace(log_of(spark, rows), items=items)
    may = {"new", "sold", *(f"c{n}" for n in range(30))}
    users = spark.createDataFrame([("u",), ("who",)], "user_id string")

    def drawn(k: int = 5, days: int = 0, **settings: Any) -> dict[str, list[str]]:
        model = RandomItems(**settings).fit(replace(log, as_of=AS_OF + timedelta(days=days)), signal=SIGNAL)
        rows = sorted(model.lists(users, k=k).collect(), key=lambda row: row["rank"])
        return {name: [row["item_id"] for row in rows if row["user_id"] == name] for name in ("u", "who")}

    assert sorted(drawn(k=99)["u"]) == sorted(may)
    first = drawn()
    assert first == drawn() and len(first["u"]) == len(first["who"]) == 5
    others = [drawn(seed=2)["u"], drawn(days=-1)["u"], first["who"]]
    assert all(other != first["u"] for other in others)
