"""The numpy kernels against brute force: no Spark."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from recsys.retrieval import kernels
from recsys.retrieval.blend import Blend
from recsys.retrieval.fusion import fuse
from recsys.retrieval.kernels import Excluded, Proposals, take_listed
from recsys.retrieval.neighborhoods.kernel import NeighborLists, add_up
from recsys.retrieval.vectors import search as searching
from recsys.retrieval.vectors.search import ItemMatrix, search

pytestmark = pytest.mark.fast


def excluded_of(pairs: set[tuple[int, int]], n_users: int, n_items: int) -> Excluded:
    ordered = sorted(pairs)
    user = np.array([u for u, _ in ordered], dtype=np.int64)
    item = np.array([i for _, i in ordered], dtype=np.int64)
    return Excluded(user, item, n_users, n_items)


def brute_force(items: Any, users: Any, k: int, excluded: set[tuple[int, int]]) -> list[tuple[int, int, int]]:
    rows = []
    for u, vector in enumerate(users):
        scores = (items.astype(np.float64) * vector.astype(np.float64)).sum(axis=1)
        order = sorted((i for i in range(len(items)) if (u, i) not in excluded), key=lambda i: (-scores[i], i))
        rows += [(u, i, rank) for rank, i in enumerate(order[:k], 1)]
    return rows


def found_rows(found: Proposals) -> list[tuple[int, int, int]]:
    return list(zip(found.user.tolist(), found.item.tolist(), found.rank.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_search_is_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_items, n_users, k = [(2000, 40, 10), (30, 20, 50), (500, 30, 20)][seed % 3][0:3]
    items = random.normal(size=(n_items, 8)).astype(np.float32)
    if seed >= 3:
        # Many equal vectors: float32 can't tell which of them are the first by position.
        items = items[random.integers(0, 12, n_items)]
    users = random.normal(size=(n_users, 8)).astype(np.float32)
    users[0] = 0
    heavy = {(1, int(i)) for i in random.choice(n_items, n_items - 3, replace=False)}
    excluded = heavy | {(int(u), int(i)) for u, i in random.integers(0, (n_users, n_items), size=(200, 2))}
    excluded |= {(2, i) for i in range(n_items)}
    found = search(
        ItemMatrix(np.arange(n_items), items),
        np.arange(n_users),
        users,
        k=k,
        excluded=excluded_of(excluded, n_users, n_items),
    )
    assert found_rows(found) == brute_force(items, users, k, excluded)


def test_a_users_result_does_not_depend_on_the_batch_or_on_the_block() -> None:
    random = np.random.default_rng(1)
    items, users = (random.normal(size=(n, 16)).astype(np.float32) for n in (1000, 50))
    none = excluded_of(set(), 50, 1000)
    whole = search(ItemMatrix(np.arange(1000), items), np.arange(50), users, k=5, excluded=none)
    alone = search(ItemMatrix(np.arange(1000), items), np.array([7]), users[7:8], k=5, excluded=none)
    assert alone.score.tolist() == whole.score[whole.user == 7].tolist()
    half = search(ItemMatrix(np.arange(500), items[:500]), np.array([7]), users[7:8], k=1000, excluded=none)
    all_of = search(ItemMatrix(np.arange(1000), items), np.array([7]), users[7:8], k=1000, excluded=none)
    scores = dict(zip(all_of.item.tolist(), all_of.score.tolist(), strict=True))
    assert [scores[i] for i in half.item.tolist()] == half.score.tolist()


@pytest.mark.parametrize(("users_at_once", "items_at_once"), [(7, 1 << 15), (64, 50), (3, 1)])
def test_search_is_exact_in_blocks(monkeypatch: pytest.MonkeyPatch, users_at_once: int, items_at_once: int) -> None:
    """Lists that float32 orders wrongly, ties over the edges of blocks, and a user whom everything suits alike."""
    random = np.random.default_rng(4)
    items = random.integers(-2, 3, size=(333, 3)).astype(np.float32)
    items[:40] = 1 + random.integers(0, 3, size=(40, 3)).astype(np.float32) * 2.0**-23
    users = random.normal(size=(20, 3)).astype(np.float32) * np.float32(1e18)
    users[5] = 0
    excluded = {(int(u), int(i)) for u, i in random.integers(0, (20, 333), size=(900, 2))}
    monkeypatch.setattr(searching, "_USERS", users_at_once)
    monkeypatch.setattr(searching, "_ITEMS", items_at_once)
    pairs = excluded_of(excluded, 20, 333)
    found = search(ItemMatrix(np.arange(333), items), np.arange(20), users, k=6, excluded=pairs)
    assert found_rows(found) == brute_force(items, users, 6, excluded)


def test_a_whitelist_still_fills_the_list() -> None:
    items, users = np.arange(1, 7, dtype=np.float32)[:, None], np.ones((2, 1), np.float32)
    # Of ten items in the catalog those at 1, 3, 5, 6, 8 and 9 may be proposed; 9 and 8 are seen by the second user.
    matrix = ItemMatrix(np.array([1, 3, 5, 6, 8, 9]), items)
    found = search(matrix, np.array([2, 4]), users, k=3, excluded=excluded_of({(4, 8), (4, 9), (4, 0)}, 5, 10))
    assert found_rows(found) == [(2, 9, 1), (2, 8, 2), (2, 6, 3), (4, 6, 1), (4, 5, 2), (4, 3, 3)]


def test_excluded_among_some_users() -> None:
    place, item = excluded_of({(0, 1), (2, 3), (2, 0), (4, 4)}, 5, 5).among(np.array([2, 3, 4]))
    assert list(zip(place.tolist(), item.tolist(), strict=True)) == [(0, 0), (0, 3), (2, 4)]


def test_excluded_answers_the_same_dense_and_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = {(0, 1), (2, 3), (2, 0)}
    users, items = np.arange(3)[:, None], np.arange(5)[None, :]
    dense = excluded_of(pairs, 3, 5).has(users, items)
    monkeypatch.setattr(kernels, "_BITS", 0)
    sparse = excluded_of(pairs, 3, 5).has(users, items)
    assert dense.tolist() == sparse.tolist() == [[(u, i) in pairs for i in range(5)] for u in range(3)]
    assert not excluded_of(set(), 3, 5).has(users, items).any()


def test_neighbors_added_up_against_brute_force() -> None:
    random = np.random.default_rng(3)
    n, users = 60, 25
    lists = {
        i: {int(j): float(random.integers(1, 4)) for j in random.choice(n, random.integers(0, 9))} for i in range(n)
    }
    targets = [j for i in range(n) for j in lists[i]]
    offsets = np.cumsum([0] + [len(lists[i]) for i in range(n)])
    flat = NeighborLists(
        offsets, np.array(targets, np.int32), np.array([lists[i][j] for i in range(n) for j in lists[i]])
    )
    recent = [
        (u, int(i), float(w))
        for u in range(users)
        for i, w in zip(random.choice(n, 6, replace=False), (1, 1, 0.5, 2, 1, 1), strict=True)
    ]
    excluded = {(int(u), int(i)) for u, i in random.integers(0, (users, n), size=(300, 2))}
    total: dict[tuple[int, int], float] = defaultdict(float)
    cause: dict[tuple[int, int], tuple[float, int]] = {}
    for u, i, w in recent:
        for j, s in lists[i].items():
            total[u, j] += w * s
            if w * s > cause.get((u, j), (0.0, 0))[0]:
                cause[u, j] = (w * s, i)
    expected = []
    for u in range(users):
        mine = sorted(((-s, j) for (v, j), s in total.items() if v == u and (u, j) not in excluded))[:5]
        expected += [(u, j, rank, -s, cause[u, j][1]) for rank, (s, j) in enumerate(mine, 1)]
    columns = (np.array(column) for column in zip(*recent, strict=True))
    found = add_up(flat, *columns, k=5, excluded=excluded_of(excluded, users, n))  # type: ignore[call-arg]
    assert found.because is not None
    rows = zip(*(a.tolist() for a in (found.user, found.item, found.rank, found.score, found.because)), strict=True)
    assert list(rows) == expected


def test_take_listed_skips_what_is_excluded_and_ranks_densely() -> None:
    lists = [(np.array([4, 2, 0]), np.array([3.0, 2.0, 1.0])), (np.array([1]), np.array([9.0]))]
    found = take_listed(lists, np.array([0, 1, 0]), k=2, excluded=excluded_of({(0, 2), (1, 1)}, 3, 5))
    assert found_rows(found) == [(0, 4, 1), (0, 0, 2), (2, 4, 1), (2, 2, 2)]
    assert found.score.tolist() == [3.0, 1.0, 3.0, 2.0]


def by_ranks(**weights: float) -> Blend:
    """Weighted reciprocal ranks."""
    return Blend(10.0, weights, dict.fromkeys(weights, 0.0))


def test_fuse_adds_reciprocal_ranks() -> None:
    first = Proposals(np.array([0, 0]), np.array([3, 1]), np.array([1, 2]), np.array([0.9, 0.8]))
    second = Proposals(np.array([0, 1]), np.array([1, 3]), np.array([1, 1]), np.array([5.0, 4.0]), np.array([2, 0]))
    union = fuse({"b": second, "a": first}, by_ranks(a=1.0, b=0.5), k=2, n_items=4)
    assert union.user.tolist() == [0, 0, 1]
    assert union.item.tolist() == [1, 3, 3]
    assert union.rank.tolist() == [1, 2, 1]
    assert union.score.tolist() == [1 / 12 + 0.5 / 11, 1 / 11, 0.5 / 11]
    assert union.because.tolist() == [2, -1, 0]
    assert union.lengths.tolist() == [2, 1, 1]
    assert union.maker.tolist() == [0, 1, 0, 1]
    assert union.maker_rank.tolist() == [2, 1, 1, 1]
    assert union.maker_score.tolist() == [0.8, 5.0, 0.9, 4.0]


def proposals(*items: int, because: int | None = None) -> Proposals:
    """What is proposed to one user, in order."""
    n = len(items)
    cause = None if because is None else np.full(n, because)
    return Proposals(np.zeros(n, np.int64), np.array(items), np.arange(1, n + 1), np.ones(n), cause)


def test_a_retriever_before_the_others_by_name_changes_nothing_for_them() -> None:
    """Weights, ranks and causes belong to names, not to places."""
    weights = by_ranks(m=1.0, z=0.25, a=0.0)
    two = {"m": proposals(1, 2, because=7), "z": proposals(2, 3)}
    before = fuse(two, weights, k=9, n_items=10)
    after = fuse({**two, "a": proposals(5)}, weights, k=9, n_items=10)
    kept = after.item != 5
    assert after.item[kept].tolist() == before.item.tolist() == [2, 1, 3]
    assert after.score[kept].tolist() == before.score.tolist()
    assert after.because[kept].tolist() == before.because.tolist()
    names = [after.names[maker] for maker in after.maker.tolist()]
    assert [name for name in names if name != "a"] == [before.names[maker] for maker in before.maker.tolist()]


def test_the_cause_is_that_of_the_largest_share() -> None:
    found = {"a": proposals(1, because=8), "b": proposals(1, because=3), "c": proposals(1)}
    largest = fuse(found, by_ranks(a=0.5, b=1.0, c=9.0), k=1, n_items=10)
    assert largest.because.tolist() == [3], "c names none"
    equal = fuse(found, by_ranks(a=1.0, b=1.0, c=9.0), k=1, n_items=10)
    assert equal.because.tolist() == [8], "of equals the first by name"


def test_nothing_in_nothing_out() -> None:
    none = excluded_of(set(), 2, 1)
    empty = ItemMatrix(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    found = search(empty, np.arange(2), np.ones((2, 4), np.float32), k=3, excluded=none)
    assert not len(found.user)
    assert not len(take_listed([], np.zeros(0, np.int64), k=3, excluded=none).user)
    assert not len(fuse({"a": found, "b": found}, by_ranks(a=1.0, b=1.0), k=3, n_items=1).user)
