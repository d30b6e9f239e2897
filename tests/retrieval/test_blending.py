"""Weights of a union, fitted on past lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.retrieval.blend import Blend, described
from recsys.retrieval.blending import CONFIG, PastLists, fit_blend, fitted_weights, ndcg

pytestmark = pytest.mark.fast

NAMES = ("good", "noise")
START = Blend(10.0, {"good": 1.0, "noise": 1.0}, {"good": 0.0, "noise": 0.0})
N_ITEMS = 12


def made_up(lists: int, *, signal: float, seed: int = 3) -> PastLists:
    """Lists of all items by two retrievers; users follow the scores of the first as far as `signal` says."""
    random = np.random.default_rng(seed)
    score = random.normal(size=(lists, N_ITEMS, 2))
    wanted = signal * score[:, :, 0] + random.gumbel(size=(lists, N_ITEMS))
    label = (wanted == wanted.max(axis=1, keepdims=True)).astype(float)
    rank = N_ITEMS - score.argsort(axis=1).argsort(axis=1)
    return PastLists(
        names=NAMES,
        group=np.repeat(np.arange(lists), N_ITEMS),
        user=np.arange(lists) * 7,
        label=label.ravel(),
        rank=rank.reshape(-1, 2),
        score=score.reshape(-1, 2),
    )


def test_the_retriever_that_knows_gets_the_weight() -> None:
    found = fit_blend(made_up(400, signal=2.0), START)
    good, noise = (found.blend.by_rank[name] + found.blend.by_score[name] for name in NAMES)
    assert found.kind != CONFIG and good > 10 * noise
    assert found.low > 0 and found.gain == pytest.approx(found.ndcg[found.kind] - found.ndcg[CONFIG])
    assert found.verdict().startswith("fitted weights: those by ")


def test_where_scores_say_more_than_ranks_they_are_used() -> None:
    past = made_up(600, signal=0.0)
    # The first of each list is taken up where it is far ahead, else the last: ranks can't tell the two apart.
    ahead = np.arange(600) % 2 == 0
    score = np.tile(np.linspace(1.0, 0.0, N_ITEMS), (600, 1))
    score[ahead, 0] = 30.0
    label = np.zeros((600, N_ITEMS))
    label[ahead, 0] = label[~ahead, 1] = 1.0
    rank = np.tile(np.arange(1, N_ITEMS + 1), (600, 1))
    other = np.tile(np.r_[2.0, 3.0, np.linspace(1.0, 0.0, N_ITEMS - 2)], (600, 1))
    ranks = np.stack([rank, np.tile(np.r_[2, 1, np.arange(3, N_ITEMS + 1)], (600, 1))], axis=2)
    past = replace(
        past, label=label.ravel(), rank=ranks.reshape(-1, 2), score=np.stack([score, other], axis=2).reshape(-1, 2)
    )
    found = fit_blend(past, START)
    assert found.kind in ("scores", "both")
    assert found.ndcg["scores"] > found.ndcg["ranks"] + 0.1


@pytest.mark.parametrize("seed", range(5))
def test_without_a_difference_the_weights_of_the_config_stand(seed: int) -> None:
    found = fit_blend(made_up(200, signal=0.0, seed=seed), START)
    assert found.kind == CONFIG and found.blend == START and found.low <= 0
    assert found.verdict().startswith("the config's weights: those by ")


def test_too_few_lists_fit_nothing() -> None:
    found = fit_blend(made_up(29, signal=5.0), START)
    assert found.blend == START and not found.ndcg
    assert found.verdict() == (
        "the config's weights: 29 past lists have an item that was taken up, 30 are needed to fit others"
    )


def test_the_figures_are_those_of_a_row_of_models() -> None:
    found = fit_blend(made_up(400, signal=2.0), START)
    assert Blend.from_figures(found.figures()) == found.blend
    assert {"lists", "ndcg_config", "ndcg_both", "gain_low"} <= set(found.figures())


def test_weights_maximize_the_likelihood() -> None:
    """Against a grid: one list of two items, then three lists of which the first item is taken up in two."""
    terms = np.array([[1.0], [0.0]] * 3)
    label, group = np.array([1.0, 0, 1, 0, 0, 1]), np.repeat(np.arange(3), 2)
    grid = np.linspace(0, 3, 3001)
    loss = np.log1p(np.exp(-grid)) * 2 / 3 + np.log1p(np.exp(grid)) / 3 + 0.5e-3 * grid**2
    assert fitted_weights(terms, label, group)[0] == pytest.approx(grid[loss.argmin()], abs=2e-3)


def test_a_weight_is_never_below_zero() -> None:
    terms = np.array([[1.0, 1.0], [0.0, 0.0]] * 4)
    terms[:, 1] = 1 - terms[:, 0]
    label = np.array([1.0, 0] * 4)
    found = fitted_weights(terms, label, np.repeat(np.arange(4), 2))
    assert found[1] == 0.0 < found[0]


def test_ndcg_of_literal_lists() -> None:
    past = PastLists(
        ("a",), np.array([0, 0, 0, 1, 1]), np.arange(2), np.array([0.0, 1, 0, 1, 0]), *[np.ones((5, 1))] * 2
    )
    found = ndcg(past, np.array([3.0, 2.0, 1.0, 5.0, 5.0]))
    assert found.tolist() == pytest.approx([1 / np.log2(3), 1.0])


def test_users_with_several_lists_count_as_one() -> None:
    """The same list ten times is no evidence of ten users."""
    past = made_up(40, signal=1.0)
    many = PastLists(
        NAMES,
        np.repeat(np.arange(400), N_ITEMS),
        np.tile(past.user, 10),
        np.tile(past.label, 10),
        np.tile(past.rank, (10, 1)),
        np.tile(past.score, (10, 1)),
    )
    one, ten = fit_blend(past, START), fit_blend(many, START)
    assert ten.high - ten.low > 0.8 * (one.high - one.low)


def test_weights_are_told_on_one_scale() -> None:
    assert described(START) == "good 0.09 by rank; noise 0.09 by rank"
