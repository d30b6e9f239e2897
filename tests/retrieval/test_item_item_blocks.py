"""Pairs counted in blocks, without Spark, against a count in Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import permutations
from math import log as ln

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConfigError
from recsys.retrieval.entries import parse
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.neighborhoods import blocks, histories
from recsys.retrieval.neighborhoods.blocks import Neighbors
from recsys.retrieval.neighborhoods.histories import Counted, Cut, latest, mixed
from recsys.retrieval.neighborhoods.similarity import Formula, Population

pytestmark = pytest.mark.fast

DAY = 86_400_000_000
Log = list[tuple[int, int, int]]
"""User, item, microseconds."""
Lists = dict[str, list[tuple[int, str, float, int]]]


def lists(log: Log, retriever: ItemItem, *, n_blocks: int = 3, as_of: int = 0) -> Lists:
    """Run both kernels as Spark does: users together, then blocks together."""
    cut = Cut(retriever.max_history, retriever.formula, retriever.half_life_days, as_of, 40, n_blocks)
    rows = sorted(log)
    pieces = list(cut.pieces([_batch(rows[start : start + 7]) for start in range(0, len(rows), 7)]))
    n = Counter(item for _, item, _ in log)
    index = {"idx": list(n), "n": list(n.values()), "item_id": [f"i{item:02d}" for item in n]}
    pieces += Counted(n_blocks).pieces([pa.record_batch(index)])
    together = pa.Table.from_batches(pieces).sort_by("block").to_batches()
    kernel = Neighbors(retriever.keep, retriever.min_support, retriever.formula, n_blocks)
    found: Lists = defaultdict(list)
    for batch in kernel.lists(together):
        for row in batch.to_pylist():
            found[row["item_id"]].append((row["rank"], row["neighbor_id"], row["score"], row["support"]))
    return dict(found)


def _batch(rows: Log) -> pa.RecordBatch:
    return pa.record_batch({name: [row[i] for row in rows] for i, name in enumerate(("u", "idx", "at"))})


def a_log(seed: int = 1, users: int = 30, items: int = 20) -> Log:
    random = np.random.default_rng(seed)
    shares = 1 / (np.arange(items) + 2.0)
    return [
        (int(u), int(i) + 1, int(random.integers(0, 90)) * DAY)
        for u in random.permutation(users) * 7919
        for i in random.choice(items, random.integers(1, 12), replace=False, p=shares / shares.sum())
    ]


def counted(log: Log) -> tuple[dict[int, set[int]], Counter[int]]:
    mine: dict[int, set[int]] = defaultdict(set)
    for user, item, _ in log:
        mine[user].add(item)
    return mine, Counter(item for _, item, _ in log)


def oracle(name: str, log: Log) -> dict[tuple[int, int], float]:
    """Each formula from sets of users."""
    mine, n = counted(log)
    users, mean, m = len(mine), len(log) / len(n), 40
    found = {}
    for i, j in permutations(n, 2):
        both = [len(items) for items in mine.values() if i in items and j in items]
        c, idf = len(both), sum((idf_of(m, size) / ln(m)) ** 2 for size in both)
        table = [c, n[i] - c, n[j] - c, users - n[i] - n[j] + c]
        expected = [n[i] * n[j], n[i] * (users - n[j]), n[j] * (users - n[i]), (users - n[i]) * (users - n[j])]
        length = [0.2 + 0.8 * n[k] / mean for k in (i, j)]
        found[i, j] = {
            "generalized": sum(size**-0.5 for size in both) / ((n[i] + 7) ** 0.5 * (n[j] + 7) ** 0.35),
            "cosine": c / (n[i] * n[j]) ** 0.5,
            "asymmetric_cosine": c / (n[i] ** 0.8 * n[j] ** 0.2),
            "jaccard": c / (n[i] + n[j] - c),
            "lift": c * users / (n[i] * n[j]),
            "llr": 2
            * sum(o * ln(o * users / e) for o, e in zip(table, expected, strict=True) if o)
            * (c * users > n[i] * n[j]),
            "pearson": (table[0] * table[3] - table[1] * table[2])
            / max(1e-9, n[i] * (users - n[i]) * n[j] * (users - n[j])) ** 0.5,
            "tfidf": idf / (n[i] * n[j]) ** 0.5,
            "bm25": idf * 101 / (100 * length[0] + 1) * 101 / (100 * length[1] + 1),
            "rp3beta": sum(1 / size for size in both) / (n[i] * n[j] ** 0.6),
        }[name]
    return {pair: value for pair, value in found.items() if value > 0}


def idf_of(m: int, size: int) -> float:
    return max(0.0, ln(m / (1 + size)))


MORE = {
    "generalized": {"source_power": 0.5, "target_power": 0.35, "smoothing": 7.0},
    "asymmetric_cosine": {"source_power": 0.8},
    "rp3beta": {"target_power": 0.6},
}


@pytest.mark.parametrize(
    "name",
    ["generalized", "cosine", "asymmetric_cosine", "jaccard", "lift", "llr", "pearson", "tfidf", "bm25", "rp3beta"],
)
def test_each_formula_against_sets(name: str) -> None:
    log = a_log()
    retriever = ItemItem(similarity=name, min_support=1, **MORE.get(name, {}))  # type: ignore[arg-type]
    found = {(int(i[1:]), int(j[1:])): score for i, mine in lists(log, retriever).items() for _, j, score, _ in mine}
    assert found == pytest.approx(oracle(name, log), rel=1e-5, abs=1e-9)


def test_support_ranks_and_the_keep_best() -> None:
    log = a_log()
    mine, _ = counted(log)
    scores = oracle("cosine", log)
    found = lists(log, ItemItem(similarity="cosine", min_support=2, keep=3))
    support = {pair: sum(set(pair) <= items for items in mine.values()) for pair in scores}
    for item in {i for i, _ in scores}:
        expected = sorted((-s for (i, j), s in scores.items() if i == item and support[i, j] >= 2))[:3]
        rows = found.get(f"i{item:02d}", [])
        assert [-score for _, _, score, _ in rows] == pytest.approx(expected)
        assert [rank for rank, *_ in rows] == list(range(1, len(rows) + 1))
        assert all(both == support[item, int(j[1:])] for _, j, _, both in rows)


@pytest.mark.parametrize("half_life", [None, 30.0])
def test_blocks_order_and_pieces_change_no_bit(monkeypatch: pytest.MonkeyPatch, half_life: float | None) -> None:
    log = a_log()
    retriever = ItemItem(keep=5, max_history=6, half_life_days=half_life)
    first = lists(log, retriever, as_of=90 * DAY)
    monkeypatch.setattr(histories, "_ROWS", 20)
    monkeypatch.setattr(blocks, "_PRODUCTS", 50)
    assert lists(log[::-1], retriever, n_blocks=5, as_of=90 * DAY) == first
    monkeypatch.setattr(blocks, "_SUM_BITS", 20)
    assert lists(log, retriever, n_blocks=1, as_of=90 * DAY) == first, "users in common counted apart"


def test_age_halves_both_ends() -> None:
    """Ages of one and two half-lives: the pair brings 1/2 x 1/4."""
    log = [(1, 1, 20 * DAY), (1, 2, 10 * DAY)]
    retriever = ItemItem(half_life_days=10.0, min_support=1, user_power=0, source_power=0, target_power=0)
    assert lists(log, retriever, as_of=30 * DAY)["i01"] == [(1, "i02", pytest.approx(0.125), 1)]


def test_shrinkage_by_support() -> None:
    log = [(user, item, 0) for user in (1, 2, 3) for item in (1, 2)]
    assert lists(log, ItemItem(similarity="cosine", shrinkage=1.0))["i01"] == [(1, "i02", pytest.approx(0.75), 3)]


def test_who_counts_for_nothing_brings_no_support() -> None:
    """With as many items as there are, the IDF of a user is 0."""
    log = [(1, item, 0) for item in range(1, 41)] + [(2, 1, 0), (2, 2, 0)]
    found = lists(log, ItemItem(similarity="tfidf", min_support=1))
    assert [(j, both) for _, j, _, both in found["i01"]] == [("i02", 1)] and set(found) == {"i01", "i02"}


def test_equal_times_keep_other_items_of_each_user() -> None:
    users = np.repeat(np.arange(200), 50)
    items, key = np.tile(np.arange(50), 200), mixed(users, users)
    kept = latest(key, users, items, np.zeros(len(users), np.int64), np.full(200, 50), 10)
    assert (np.bincount(users[kept]) == 10).all()
    # 200 users keep a fifth of 50 items: 40 of each, give or take 5.7.
    assert np.bincount(items[kept], minlength=50).min() > 15 and np.bincount(items[kept]).max() < 70


def test_the_latest_come_first() -> None:
    user, item = np.zeros(5, np.int64), np.arange(5)
    kept = latest(user, user, item, np.array([3, 9, 1, 9, 5]), np.array([5]), 3)
    assert kept.tolist() == [1, 3, 4]


def test_everybody_counts_in_the_population() -> None:
    """Three users, one of them with a single item: lift is 2 x 3 / (2 x 2)."""
    log = [(1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (3, 3, 0)]
    assert lists(log, ItemItem(similarity="lift"))["i01"] == [(1, "i02", pytest.approx(1.5), 2)]


def test_independent_items_are_not_alike() -> None:
    formula = Formula("pearson", (0.0, 0.5, 0.5), 0.0)
    one = np.array([1])
    assert formula.scores(one * 1.0, one, one * 2, one * 2, Population(4, 1.0)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"similarity": "cosine", "user_power": 0.4}, "similarity cosine takes no user_power"),
        ({"similarity": "rp3beta", "source_power": 0.4}, "similarity rp3beta takes no source_power"),
        ({"similarity": "cosine", "smoothing": 5}, "similarity cosine takes no smoothing"),
        ({"similarity": "lift", "half_life_days": 3}, "similarity lift counts users"),
        ({"similarity": "asymmetric_cosine", "source_power": 1.5}, "lies between 0 and 1"),
        ({"similarity": "cosin"}, "cosin"),
    ],
)
def test_settings_that_mean_nothing_are_refused(entry: dict[str, object], sentence: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=sentence):
        parse({"kind": "item_item", **entry})
