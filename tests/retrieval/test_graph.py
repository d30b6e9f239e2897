"""Approximate search by a graph, in numpy: nearly all of the exact lists, full whatever is excluded. No Spark."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from recsys.errors import ConfigError, EnvironmentProblem
from recsys.retrieval.als.kernel import AlsKernel
from recsys.retrieval.als.retriever import Als, AlsModel
from recsys.retrieval.item2vec.kernel import VectorKernel
from recsys.retrieval.item2vec.retriever import Item2Vec, Item2VecModel
from recsys.retrieval.kernels import Excluded, Proposals
from recsys.retrieval.vectors import graph as graphs
from recsys.retrieval.vectors.graph import Graph, nearest, recall
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


@pytest.fixture(scope="module")
def graph(items: ItemMatrix) -> Graph:
    return Graph.of(items, width=400)


def pairs(found: Proposals) -> set[tuple[int, int]]:
    return set(zip(found.user.tolist(), found.item.tolist(), strict=True))


def test_it_finds_nearly_all_in_exact_order_and_with_exact_scores(
    items: ItemMatrix, users: np.ndarray, graph: Graph
) -> None:
    assert recall(items, graph, users, k=K) >= 0.97
    found, exact = (nearest(items, one, USERS, users, k=K, excluded=NONE) for one in (graph, None))
    scores = {(u, i): s for u, i, s in zip(exact.user.tolist(), exact.item.tolist(), exact.score.tolist(), strict=True)}
    shared = [(u, i, s) for u, i, s in zip(*(a.tolist() for a in (found.user, found.item, found.score)), strict=True)]
    assert all(scores.get((u, i), s) == s for u, i, s in shared)
    assert found.rank.tolist() == list(range(1, K + 1)) * N_USERS
    assert all(np.diff(found.score[found.user == u]).max() <= 0 for u in range(N_USERS))


def test_recall_is_the_share_of_exact_lists(items: ItemMatrix, users: np.ndarray, graph: Graph) -> None:
    """A graph of the wrong items finds what it happens to: the figure says so."""
    wrong = ItemMatrix(items.positions, np.roll(items.vectors, 1, axis=0))
    found = nearest(wrong, graph, USERS, users, k=K, excluded=NONE)
    exact = search(wrong, USERS, users, k=K, excluded=NONE)
    expected = len(pairs(found) & pairs(exact)) / (N_USERS * K)
    assert recall(wrong, graph, users, k=K) == pytest.approx(expected) and expected < 0.5


def test_what_is_excluded_is_made_up_for(items: ItemMatrix, users: np.ndarray, graph: Graph) -> None:
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


def test_neither_other_users_nor_a_journey_change_a_list(items: ItemMatrix, users: np.ndarray, graph: Graph) -> None:
    whole = nearest(items, graph, USERS, users, k=K, excluded=NONE)
    copy = pickle.loads(pickle.dumps(graph))
    for u in (0, 17):
        alone = nearest(items, copy, np.array([u]), users[u : u + 1], k=K, excluded=NONE)
        assert alone.item.tolist() == whole.item[whole.user == u].tolist()


def test_links_are_the_same_each_time(items: ItemMatrix) -> None:
    few = ItemMatrix(items.positions[:2000], items.vectors[:2000])
    assert Graph.of(few, width=50).written == Graph.of(few, width=50).written


@pytest.mark.parametrize(
    ("settings", "n_items", "limit", "expected"),
    [
        (Als(), 999_999, 1024, False),
        (Als(search="exact"), 10**6, 1e9, False),
        (Als(search="hnsw"), 1, 256, True),
        (Als(search="hnsw"), 0, 256, False),
        (Als(hnsw_from_items=10), 10, 256, True),
        # 1,000,000 x (64 x 4 + 32 x 8 + 24) bytes are 511 MB.
        (Als(), 10**6, 511, False),
        (Als(), 10**6, 512, True),
    ],
)
def test_what_is_searched_by_a_graph(settings: Als, n_items: int, limit: float, expected: bool) -> None:
    assert settings.by_graph(n_items, 64, limit) is expected


def test_what_can_not_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="511 MB, above spark.broadcast_limit_mb; raise it, or set retrievers.als.se"):
        Als(search="hnsw").by_graph(10**6, 64, 256)
    monkeypatch.setattr(graphs, "available", lambda: False)
    assert not Als().by_graph(10**6, 64, 1e9)
    with pytest.raises(EnvironmentProblem, match=r"install recsys\[ann\], or set retrievers.als.search to auto"):
        Als(search="hnsw").by_graph(10, 64, 256)


def test_a_model_links_what_it_proposes_and_not_what_it_scores(items: ItemMatrix) -> None:
    few = ItemMatrix(items.positions[:100], items.vectors[:100])
    kernels = AlsKernel(few, "als:factors"), VectorKernel(items, few, recent_items=3, decay=1.0)
    for kernel, model, settings in zip(kernels, (AlsModel, Item2VecModel), (Als, Item2Vec), strict=True):
        assert kernel.graph is None
        ready = model(settings(search="hnsw", hnsw_width=50), {}).ready(kernel)
        assert ready.graph.width == 50 and ready.graph.near(few.vectors[:1], 200).max() == 99
        assert model(settings(), {}).ready(kernel).graph is None
