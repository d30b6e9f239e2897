"""Approximate search by a graph or by cells, in numpy: nearly all of the exact lists, full whatever is excluded."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from recsys.errors import ConfigError, EnvironmentProblem
from recsys.retrieval.als.kernel import AlsKernel
from recsys.retrieval.als.retriever import Als, AlsModel
from recsys.retrieval.item2vec.kernel import VectorKernel
from recsys.retrieval.item2vec.retriever import Item2Vec, Item2VecModel
from recsys.retrieval.kernels import Excluded, Proposals
from recsys.retrieval.vectors import graph as graphs
from recsys.retrieval.vectors.cells import Cells, cells_bytes
from recsys.retrieval.vectors.graph import Approximate, Graph, nearest, recall
from recsys.retrieval.vectors.search import ItemMatrix, search

pytestmark = pytest.mark.fast

N_USERS, N_ITEMS, WIDTH, K = 60, 20_000, 16, 20
RANDOM = np.random.default_rng(11)
NONE = Excluded(np.zeros(0, np.int64), np.zeros(0, np.int64), N_USERS, 2 * N_ITEMS)
USERS = np.arange(N_USERS)


def clustered(n: int, centers: np.ndarray) -> np.ndarray:
    near = centers[RANDOM.integers(0, len(centers), n)]
    return (near + RANDOM.normal(size=(n, WIDTH)) * 0.7).astype(np.float32)


@pytest.fixture(scope="module")
def items() -> ItemMatrix:
    centers = RANDOM.normal(size=(100, WIDTH))
    vectors = clustered(N_ITEMS, centers) * RANDOM.lognormal(0, 0.3, (N_ITEMS, 1)).astype(np.float32)
    # Every other position, as where some items of the catalog have no vector.
    return ItemMatrix(np.arange(N_ITEMS) * 2, vectors)


@pytest.fixture(scope="module")
def users(items: ItemMatrix) -> np.ndarray:
    like = items.vectors[RANDOM.choice(N_ITEMS, N_USERS)]
    return (like + RANDOM.normal(size=like.shape) * 0.5).astype(np.float32)


WAYS: dict[str, Callable[[ItemMatrix], Approximate]] = {
    "hnsw": lambda items: Graph.of(items, width=400),
    "ivf-float32": lambda items: Cells.of(items, probes=64, codes="float32"),
    "ivf-fp16": lambda items: Cells.of(items, probes=64, codes="fp16"),
    "ivf-int8": lambda items: Cells.of(items, probes=64, codes="int8"),
}


@pytest.fixture(scope="module", params=WAYS)
def graph(request: pytest.FixtureRequest, items: ItemMatrix) -> Approximate:
    return WAYS[request.param](items)


def pairs(found: Proposals) -> set[tuple[int, int]]:
    return set(zip(found.user.tolist(), found.item.tolist(), strict=True))


def test_it_finds_nearly_all_in_exact_order_and_with_exact_scores(
    items: ItemMatrix, users: np.ndarray, graph: Approximate
) -> None:
    assert recall(items, graph, users, k=K) >= 0.97
    found, exact = (nearest(items, one, USERS, users, k=K, excluded=NONE) for one in (graph, None))
    scores = {(u, i): s for u, i, s in zip(exact.user.tolist(), exact.item.tolist(), exact.score.tolist(), strict=True)}
    shared = [(u, i, s) for u, i, s in zip(*(a.tolist() for a in (found.user, found.item, found.score)), strict=True)]
    assert all(scores.get((u, i), s) == s for u, i, s in shared)
    assert found.rank.tolist() == list(range(1, K + 1)) * N_USERS
    assert all(np.diff(found.score[found.user == u]).max() <= 0 for u in range(N_USERS))


def test_recall_is_the_share_of_exact_lists(items: ItemMatrix, users: np.ndarray, graph: Approximate) -> None:
    """A graph of the wrong items finds what it happens to: the figure says so."""
    wrong = ItemMatrix(items.positions, np.roll(items.vectors, 1, axis=0))
    found = nearest(wrong, graph, USERS, users, k=K, excluded=NONE)
    exact = search(wrong, USERS, users, k=K, excluded=NONE)
    expected = len(pairs(found) & pairs(exact)) / (N_USERS * K)
    assert recall(wrong, graph, users, k=K) == pytest.approx(expected) and expected < 0.5


def test_what_is_excluded_is_made_up_for(items: ItemMatrix, users: np.ndarray, graph: Approximate) -> None:
    """The best 50 of every user are excluded, for one user all but 7 items."""
    best = search(items, USERS, users, k=50, excluded=NONE)
    most = np.setdiff1d(items.positions, items.positions[:7])
    user = np.r_[best.user[best.user < 5], np.full(len(most), 5), best.user[best.user > 5]]
    item = np.r_[best.item[best.user < 5], most, best.item[best.user > 5]]
    excluded = Excluded(user, item, N_USERS, 2 * N_ITEMS)
    found = nearest(items, graph, USERS, users, k=K, excluded=excluded)
    exact = search(items, USERS, users, k=K, excluded=Excluded(user, item, N_USERS, 2 * N_ITEMS))
    assert not pairs(found) & set(zip(user.tolist(), item.tolist(), strict=True))
    assert np.bincount(found.user).tolist() == [7 if u == 5 else K for u in range(N_USERS)]
    assert len(pairs(found) & pairs(exact)) >= 0.97 * len(exact.user)


def test_a_graph_that_leads_nowhere_still_fills_lists(
    items: ItemMatrix, users: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Graph, "near", lambda self, vectors, n: np.full((len(vectors), n), -1))
    found = nearest(items, Graph(b"", 1), USERS, users, k=K, excluded=NONE)
    assert pairs(found) == pairs(search(items, USERS, users, k=K, excluded=NONE))


def test_neither_other_users_nor_a_journey_change_a_list(
    items: ItemMatrix, users: np.ndarray, graph: Approximate
) -> None:
    whole = nearest(items, graph, USERS, users, k=K, excluded=NONE)
    copy = pickle.loads(pickle.dumps(graph))
    for u in (0, 17):
        alone = nearest(items, copy, np.array([u]), users[u : u + 1], k=K, excluded=NONE)
        assert alone.item.tolist() == whole.item[whole.user == u].tolist()


@pytest.mark.parametrize("way", WAYS)
def test_links_and_cells_are_the_same_each_time(items: ItemMatrix, way: str) -> None:
    few = ItemMatrix(items.positions[:2000], items.vectors[:2000])
    first, again = (WAYS[way](few) for _ in range(2))
    assert isinstance(first, Graph | Cells) and isinstance(again, Graph | Cells)
    assert first.written == again.written


def test_cells_take_the_room_that_is_said(items: ItemMatrix) -> None:
    few = ItemMatrix(items.positions[:2000], items.vectors[:2000])
    for codes, bytes_each in (("float32", 64), ("fp16", 32), ("int8", 16)):
        # 50 cells of 40 items, and 16 numbers of 4 bytes for each of their centers.
        said = cells_bytes(2000, WIDTH, codes)
        assert said == 2000 * (bytes_each + 8) + 50 * 64
        assert said < len(Cells.of(few, probes=1, codes=codes).written) < said + 2500


def test_fewer_cells_find_less(items: ItemMatrix, users: np.ndarray) -> None:
    found = [recall(items, Cells.of(items, probes=probes, codes="fp16"), users, k=K) for probes in (1, 282)]
    assert found[0] < 0.9 and found[1] == 1.0
    # 9 % of 282 cells.
    assert Cells.of(items, probes=None, codes="fp16").probes == 25


@pytest.mark.parametrize(
    ("settings", "n_items", "limit", "expected"),
    [
        (Als(), 999_999, 1024, None),
        (Als(search="exact"), 10**6, 1e9, None),
        (Als(search="hnsw"), 1, 256, "hnsw"),
        (Als(search="hnsw"), 0, 256, None),
        (Als(search="ivf"), 1, 256, "ivf"),
        (Als(hnsw_from_items=10), 10, 256, "ivf"),
        # 1,000,000 x (64 x 2 + 8) bytes and 2,000 x 64 x 4 are 130.2 MB, of one byte each 69.2.
        (Als(), 10**6, 130, None),
        (Als(), 10**6, 131, "ivf"),
        (Als(ivf_codes="int8"), 10**6, 70, "ivf"),
    ],
)
def test_what_is_searched_how(settings: Als, n_items: int, limit: float, expected: str | None) -> None:
    assert settings.approximate(n_items, 64, limit) == expected


def test_what_can_not_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="511 MB, above spark.broadcast_limit_mb; raise it, or set retrievers.als.se"):
        Als(search="hnsw").approximate(10**6, 64, 256)
    with pytest.raises(ConfigError, match="the cells of 1,000,000 items take 130 MB, above spark.broadcast_limit_mb"):
        Als(search="ivf").approximate(10**6, 64, 128)
    monkeypatch.setattr(graphs, "available", lambda: False)
    assert Als().approximate(10**6, 64, 1e9) is None
    with pytest.raises(EnvironmentProblem, match=r"install recsys\[ann\], or set retrievers.als.search to auto"):
        Als(search="hnsw").approximate(10, 64, 256)


def test_a_model_links_what_it_proposes_and_not_what_it_scores(items: ItemMatrix) -> None:
    few = ItemMatrix(items.positions[:100], items.vectors[:100])
    kernels = AlsKernel(few, "als:factors"), VectorKernel(items, few, recent_items=3, decay=1.0)
    for kernel, model, settings in zip(kernels, (AlsModel, Item2VecModel), (Als, Item2Vec), strict=True):
        assert kernel.graph is None
        ready = model(settings(search="hnsw", hnsw_width=50), {}).ready(kernel)
        assert ready.graph.width == 50 and ready.graph.near(few.vectors[:1], 200).max() == 99
        assert model(settings(), {}).ready(kernel).graph is None
