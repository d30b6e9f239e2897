"""What a retriever declares: names of features, and what can't stand side by side."""

from __future__ import annotations

import pytest

from recsys.retrieval import registry
from recsys.retrieval.base import Retriever
from recsys.retrieval.declared import Feature
from recsys.retrieval.entries import checked, saved_entry
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.user_user.retriever import UserUser

pytestmark = pytest.mark.fast


class Odd(Popular):
    """Features whose names have several words."""

    features = (Feature("best", "One"), Feature("rank_best", "Another"), Feature("age", "A third"))


def test_a_feature_can_be_a_column() -> None:
    assert Feature("nearest_2", "Fine").transform == "log_zscore"
    for what in ("", "two words", "a-b", "2nd", "a.b"):
        with pytest.raises(ValueError, match="a feature is called"):
            Feature(what, "Not a name")


def test_all_but_the_rank_are_of_any_pair() -> None:
    offered = {one.column.name: one.of_pair for one in registry.features(registry.defaults())}
    assert {name for name, of_pair in offered.items() if not of_pair} == {"als_rank", "neighbors_rank", "popular_rank"}
    assert {"als_score", "als_cosine", "als_recent", "neighbors_best", "popular_score"} < set(offered)


def test_two_features_never_share_a_column() -> None:
    with pytest.raises(ValueError, match=r"retrievers\.P_rank: its feature p_rank_best is one of retrievers\.p alr"):
        checked([Odd(name="p"), Odd(name="P_rank")])
    with pytest.raises(ValueError, match=r"retrievers\.user: its feature user_age is one of every example already"):
        checked([Odd(name="user")])
    assert len(checked([Odd(name="p"), Odd(name="q")])) == 2


@pytest.mark.parametrize(
    "retriever",
    [
        ItemItem(similarity="cosine", keep=7),
        ItemItem(name="near", similarity="rp3beta", target_power=0.5),
        UserUser(similarity="jaccard"),
        Popular(score="trending", recent_days=3),
    ],
)
def test_settings_survive_a_saved_model(retriever: Retriever) -> None:
    """A saved model names every setting, also those that would be refused beside others."""
    assert saved_entry(retriever.model_dump(mode="json")) == retriever
