"""Scores of pairs in numpy: the same bits as the proposals', whatever else is in the batch. No Spark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.retrieval.als.kernel import AlsKernel
from recsys.retrieval.kernels import Batch, Excluded, PairKernel, where_in
from recsys.retrieval.neighborhoods.kernel import ItemItemKernel, NeighborLists
from recsys.retrieval.popularity.kernel import PopularKernel
from recsys.retrieval.vectors import affinity
from recsys.retrieval.vectors.affinity import RECENT, affinities, centroids
from recsys.retrieval.vectors.search import ItemMatrix

pytestmark = pytest.mark.fast

N_USERS, N_ITEMS, WIDTH = 12, 300, 24
RANDOM = np.random.default_rng(5)


def batch(rows: dict[str, Any], past: list[tuple[int, int, float]]) -> Batch:
    """A batch of users with some columns and a past (user, item, weight)."""
    user, item, weight = (np.array([entry[at] for entry in past]) for at in range(3))
    return Batch(pa.RecordBatch.from_pydict(rows), user.astype(np.int64), item.astype(np.int64), weight.astype(float))


def part(whole: Batch, user: int) -> Batch:
    """One user of a batch alone."""
    mine = whole.user == user
    return Batch(whole.rows.slice(user, 1), whole.user[mine] * 0, whole.item[mine], whole.weight[mine])


def als() -> AlsKernel:
    vectors = RANDOM.normal(size=(N_ITEMS, WIDTH)).astype(np.float32)
    return AlsKernel(ItemMatrix(np.arange(N_ITEMS, dtype=np.int64), vectors), "als:factors")


def item_item() -> ItemItemKernel:
    lengths = RANDOM.integers(0, 40, N_ITEMS)
    targets = np.concatenate([np.sort(RANDOM.choice(N_ITEMS, n, replace=False)) for n in lengths]).astype(np.int32)
    lists = NeighborLists(np.r_[0, np.cumsum(lengths)].astype(np.int64), targets, RANDOM.random(len(targets)))
    return ItemItemKernel(lists, recent_items=8)


def popular() -> PopularKernel:
    lists = []
    for size in (50, 80):
        lists.append((RANDOM.choice(N_ITEMS, size, replace=False), np.sort(RANDOM.random(size))[::-1]))
    return PopularKernel(pa.array(["a"]), lists)


@pytest.fixture(scope="module")
def users() -> Batch:
    factors = RANDOM.normal(size=(N_USERS, WIDTH)).astype(np.float32)
    past = [
        (user, int(item), float(RANDOM.integers(0, 3)))
        for user in range(N_USERS - 1)
        for item in RANDOM.choice(N_ITEMS, 25, replace=False)
    ]
    rows = {"segment": [None, "a", "b"] * 4, "als:factors": [None, *factors[1:].tolist()]}
    return batch(rows, past)


@pytest.mark.parametrize("kernel", [als(), item_item(), popular()], ids=lambda kernel: type(kernel).__name__)
@pytest.mark.parametrize("k", [5, 200])
def test_score_is_that_of_the_proposal(kernel: PairKernel, users: Batch, k: int) -> None:
    """For ALS a short list is found among a few contenders, and a long one by scoring everything."""
    none = Excluded(np.zeros(0, np.int64), np.zeros(0, np.int64), N_USERS, N_ITEMS)
    made = kernel.propose(users, k=k, excluded=none)
    order = RANDOM.permutation(len(made.user))
    again = kernel.score(users, made.user[order], made.item[order])["score"]
    assert len(order) > 50 and again.tolist() == made.score[order].tolist()


@pytest.mark.parametrize("kernel", [als(), item_item(), popular()], ids=lambda kernel: type(kernel).__name__)
def test_neither_other_users_nor_other_pairs_change_a_figure(
    kernel: PairKernel, users: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, item = np.divmod(np.arange(N_USERS * (N_ITEMS + 1)), N_ITEMS + 1)
    item = item - 1  # -1 is unknown
    whole = kernel.score(users, user, item)
    monkeypatch.setattr(affinity, "_CHUNK", 3 * WIDTH)
    for one in range(N_USERS):
        mine = np.flatnonzero(user == one)[::-1]
        alone = kernel.score(part(users, one), np.zeros(len(mine), np.int64), item[mine])
        assert alone.keys() == whole.keys()
        for name in whole:
            np.testing.assert_array_equal(alone[name], whole[name][mine], strict=True)


def test_neighbors_are_0_with_a_past_and_null_without(users: Batch) -> None:
    lists = NeighborLists(np.array([0, 2, 2, 3]), np.array([1, 2, 1], np.int32), np.array([0.5, 0.25, 0.125]))
    kernel = ItemItemKernel(lists, recent_items=2)
    # User 0: items 0 and 2, and item 1 too long ago; user 1: an unknown item; user 2: has seen something alone.
    past = batch({"segment": [None] * 4}, [(0, 0, 1.0), (0, 2, 4.0), (0, 1, 9.0), (1, -1, 1.0), (2, 0, 0.0)])
    user, item = np.repeat(np.arange(4), 4), np.tile([0, 1, 2, -1], 4)
    found = kernel.score(past, user, item)
    nan = float("nan")
    expected = {"score": [0, 0.25 * 0.5 + 0.125, 0.25 * 0.25, 0], "best": [0, 0.125, 0.0625, 0]}
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], [*values, *[0] * 4, *[nan] * 8])


def test_popular_scores_follow_the_users_list() -> None:
    lists = [(np.array([4, 2, 0]), np.array([3.0, 2.0, 1.0])), (np.array([1, 4]), np.array([9.0, 8.0]))]
    rows = batch({"segment": ["s", None, "unheard of"]}, [])
    user, item = np.array([0, 0, 0, 1, 1, 2, 2, 0]), np.array([4, 1, 0, 4, 2, 1, 3, -1])
    found = PopularKernel(pa.array(["s"]), lists).score(rows, user, item)["score"]
    assert found.tolist() == [3.0, 0.0, 1.0, 8.0, 0.0, 9.0, 0.0, 0.0]


def test_a_centroid_takes_the_latest_that_have_vectors() -> None:
    vectors = np.eye(RECENT + 3)
    everything = np.arange(RECENT + 3)
    row = np.r_[-1, everything[::-1], 2, -1]
    user = np.r_[np.zeros(RECENT + 4, np.int64), 1, 2]
    found = centroids(user, row, vectors, 4)
    assert found[0].tolist() == [0.0] * 3 + [1.0] * RECENT
    assert found[1].tolist() == vectors[2].tolist()
    assert np.isnan(found[2:]).all()


def test_what_is_only_seen_is_no_taste() -> None:
    kernel = AlsKernel(ItemMatrix(np.arange(2), np.eye(2, dtype=np.float32)), "als:factors")
    past = batch({"als:factors": pa.array([None], pa.list_(pa.float32()))}, [(0, 0, 0.0), (0, 1, 2.0)])
    assert kernel.score(past, np.array([0, 0]), np.array([0, 1]))["recent"].tolist() == [0.0, 1.0]


def test_affinities_by_hand() -> None:
    users = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, np.nan]])
    recent = np.array([[0.0, 2.0], [1.0, 0.0], [1.0, 1.0]])
    items = np.array([[6.0, 8.0], [5.0, 0.0], [0.0, 0.0]])
    user, row = np.array([0, 0, 0, 0, 1, 2]), np.array([0, 1, 2, -1, 1, 1])
    found = affinities(users, recent, items, user, row)
    nan = float("nan")
    np.testing.assert_array_equal(found["score"], [50.0, 15.0, 0.0, nan, 0.0, nan])
    np.testing.assert_allclose(found["cosine"], [1.0, 0.6, nan, nan, nan, nan])
    np.testing.assert_allclose(found["recent"], [0.8, 0.0, nan, nan, 1.0, 0.5**0.5])


def test_no_pairs_and_no_items(users: Batch) -> None:
    none = np.zeros(0, np.int64)
    for kernel in (als(), item_item(), popular()):
        assert {len(values) for values in kernel.score(users, none, none).values()} == {0}
    empty = AlsKernel(ItemMatrix(none, np.zeros((0, 1), np.float32)), "als:factors")
    found = empty.score(users, np.arange(3), np.array([0, 1, -1]))
    assert all(np.isnan(values).all() for values in found.values())


def test_where_in() -> None:
    assert where_in(np.array([2, 3, 7]), np.array([7, 8, 2, -1, 3, 4])).tolist() == [2, -1, 0, -1, 1, -1]
    assert where_in(np.zeros(0, np.int64), np.array([1])).tolist() == [-1]
