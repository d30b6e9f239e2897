"""The list of retrievers: entries by name, layers, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.config import Config, load_config
from recsys.errors import ConfigError
from recsys.retrieval import registry
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.popular.retriever import Popular

pytestmark = pytest.mark.fast


def test_the_default_list_is_every_built_in_with_its_defaults() -> None:
    assert load_config().retrievers == (Als(), ItemItem(), Popular()) == registry.defaults()
    assert [one.name for one in registry.defaults()] == ["als", "neighbors", "popular"]


def test_entries_are_changed_removed_and_added_by_name(tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text("retrievers:\n  als: {rank: 8}\n  wide: {kind: als, rank: 16}\n  popular: null\n")
    config = load_config([layer], overrides=["retrievers.wide.k=7", "retrievers.als.alpha=2"])
    assert config.retrievers == (Als(rank=8, alpha=2.0), ItemItem(), Als(name="wide", rank=16, k=7))
    assert repr(config.retrievers[0]) == "Als(rank=8, alpha=2.0)"


def test_a_list_replaces_the_list_and_may_be_changed_by_name(tmp_path: Path) -> None:
    layer = tmp_path / "layer.yaml"
    layer.write_text("retrievers:\n  - {kind: popular, weight: 1}\n  - {kind: als, name: one}\n")
    config = load_config([layer], overrides=["retrievers.one.rank=3"])
    assert config.retrievers == (Popular(weight=1.0), Als(name="one", rank=3))
    assert load_config([layer], overrides=["retrievers.one=null"]).retrievers == (Popular(weight=1.0),)


def test_the_resolved_config_reads_back() -> None:
    config = load_config(overrides=["retrievers.als.rank=8"])
    assert Config.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("retrievers.als.rnak=8", "unknown key retrievers.als.rnak; did you mean rank?"),
        ("retrievers.als.rank=0", r"key retrievers.als.rank: .*greater than or equal to 1 \(found 0\)"),
        ("retrievers.asl.rank=8", "retrievers.asl: there is no such entry.*did you mean als?"),
        ("retrievers.asl=null", "retrievers.asl: there is no such entry; did you mean als?"),
        ("retrievers.item_item.keep=8", "the entry of this kind is called neighbors"),
        ("retrievers.x={kind: ales}", "unknown kind of retriever ales; did you mean als?"),
        ("retrievers=[{kind: als}, {kind: als}]", "two retrievers are called als"),
        ("retrievers=[{kind: als}, {kind: popular, name: ALS}]", "two retrievers are called ALS"),
        ("retrievers=[{kind: als, name: final}]", "retrievers.final: the name is reserved"),
        ("retrievers=[{kind: als, name: a-b}]", "key retrievers.a-b.name"),
        ("retrievers=[{name: als}]", "needs a kind"),
        ("retrievers=[]", "retrievers is empty"),
        ("retrievers=als", "retrievers is a list of entries, or a mapping"),
        ("retrievers.als=7", "retrievers.als is a mapping of keys"),
    ],
)
def test_a_mistake_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^--set .*: .*{sentence}") as error:
        load_config(overrides=[override])
    assert "\n" not in str(error.value)


def test_only_what_is_learned_decides_a_fit() -> None:
    before = registry.fit_settings(load_config().retrievers)
    same = ["retrievers.als.k=5", "retrievers.als.weight=5", "retrievers.neighbors.recent_items=5"]
    assert registry.fit_settings(load_config(overrides=same).retrievers) == before
    assert registry.fit_settings(load_config(overrides=["retrievers.als.rank=5"]).retrievers) != before


def test_a_name_for_a_formula_can_follow_a_file_that_names_every_setting() -> None:
    base = Path(__file__).parents[2] / "conf/base.yaml"
    config = load_config([base], overrides=["retrievers.neighbors.similarity=cosine"])
    assert next(one for one in config.retrievers if one.name == "neighbors").similarity == "cosine"
