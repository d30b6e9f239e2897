"""Layers change what they name: maps entry by entry into the defaults, null removes, lists are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import Field

from recsys.config import load_config
from recsys.ctr.networks.wide_deep import WideDeep
from recsys.errors import ConfigError
from recsys.retrieval import registry
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.settings import SignalSettings
from recsys.settings import Section, with_layer

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
DEFAULTS = {"view": 1.0, "click": 1.0, "cart": 3.0, "purchase": 5.0, "play": 1.0, "rating": 1.0}


def mapping(folder: Path, settings: str) -> Path:
    head, _, _ = (ROOT / "conf/datasets/synthetic-shop.yaml").read_text(encoding="utf-8").partition("\nsettings:")
    file = folder / "shop.yaml"
    file.write_text(f"{head}\nsettings:\n  {settings}\n", encoding="utf-8")
    return file


def layer(folder: Path, text: str) -> Path:
    file = folder / "layer.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_flag_changes_one_weight() -> None:
    assert load_config(overrides=["signal.weights.view=2"]).signal.weights == DEFAULTS | {"view": 2.0}


def test_a_file_changes_one_weight(tmp_path: Path) -> None:
    file = layer(tmp_path, "signal: {weights: {return: 0.5}}")
    assert load_config([file]).signal.weights == DEFAULTS | {"return": 0.5}


def test_a_mapping_changes_one_weight(tmp_path: Path) -> None:
    found = load_config(dataset=mapping(tmp_path, "signal: {weights: {purchase: 9}}"))
    assert found.signal.weights == DEFAULTS | {"purchase": 9.0}


def test_every_layer_adds_to_those_below(tmp_path: Path) -> None:
    found = load_config(
        [layer(tmp_path, "signal: {weights: {view: 2, cart: null}}")],
        dataset=mapping(tmp_path, "signal: {weights: {view: 7, play: null}}"),
        overrides=["signal.weights.other=1", "signal.weights={rating: null}"],
    )
    assert found.signal.weights == {"view": 2.0, "click": 1.0, "purchase": 5.0, "other": 1.0}


def test_null_removes_an_entry_and_a_later_layer_may_bring_it_back(tmp_path: Path) -> None:
    file = layer(tmp_path, "signal: {weights: {view: null}}")
    assert "view" not in load_config([file]).signal.weights
    assert "view" not in load_config([file], overrides=["signal.weights.view=null"]).signal.weights
    assert load_config([file], overrides=["signal.weights.view=3"]).signal.weights["view"] == 3.0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("signal.weights.viev=null", "signal.weights.viev: there is no such entry to remove; did you mean view?"),
        ("signal.weights={other: null}", "signal.weights.other: there is no such entry to remove; it has view, click"),
        ("spark.conf.spark.x=null", "spark.conf.spark.x: there is no such entry to remove; it has none"),
    ],
)
def test_what_is_not_there_cannot_be_removed(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^--set {override.partition('=')[0]}: ") as caught:
        load_config(overrides=[override])
    assert says in str(caught.value)


def test_settings_of_spark_are_merged_and_removed(tmp_path: Path) -> None:
    file = layer(tmp_path, "spark: {conf: {spark.a: '1', spark.b: '2', spark.c: '3'}}")
    flags = ["spark.conf.spark.a=7", "spark.conf.spark.b=null", "spark.conf={spark.c: null, spark.d: '4'}"]
    assert load_config([file], overrides=flags).spark.conf == {"spark.a": "7", "spark.d": "4"}


def test_a_network_keeps_what_a_layer_does_not_name(tmp_path: Path) -> None:
    file = layer(tmp_path, "train_ctr: {network: {kind: wide_deep, dropout: 0.5}}")
    found = load_config([file], overrides=["train_ctr.network.hidden=[8]"])
    assert found.train_ctr.network == WideDeep(hidden=(8,), dropout=0.5)


def test_lists_are_replaced(tmp_path: Path) -> None:
    file = layer(tmp_path, "evaluate: {ks: [1, 2], relevant_types: [play]}\nrank: {blocked_items: [a]}")
    found = load_config([file], overrides=["evaluate.ks=[3]", "rank.blocked_items=[b]"])
    assert (found.evaluate.ks, found.evaluate.relevant_types, found.rank.blocked_items) == ((3,), ("play",), ("b",))


class Shelf(Popular):
    """A retriever with a map of its own."""

    kind: Literal["shelf"] = Field("shelf", description="The algorithm")
    shares: dict[str, float] = Field(default_factory=lambda: {"a": 1.0, "b": 2.0}, description="Shares by shelf")


@pytest.fixture
def shelf() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_registered", dict(registry._registered))
        registry.register(Shelf)
        yield


def test_a_map_of_a_retriever_is_merged_into_its_default(shelf: None, tmp_path: Path) -> None:
    file = layer(tmp_path, "retrievers: {mine: {kind: shelf, shares: {b: 5, c: 3}}}")
    found = load_config([file], overrides=["retrievers.mine.shares.a=null", "retrievers.mine.shares.c=4"])
    assert {one.name: one for one in found.retrievers}["mine"] == Shelf(name="mine", shares={"b": 5.0, "c": 4.0})
    with pytest.raises(ConfigError, match=r"retrievers\.mine\.shares\.x: there is no such entry to remove"):
        load_config([file], overrides=["retrievers.mine.shares.x=null"])


def test_an_entry_of_a_list_is_taken_as_it_is(shelf: None) -> None:
    found = load_config(overrides=["retrievers=[{kind: shelf, name: mine, shares: {c: 3}}]"])
    assert found.retrievers == (Shelf(name="mine", shares={"c": 3.0}),)


class _Inner(Section):
    deep: dict[str, dict[str, int]] = {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    maybe: dict[str, int] | None = None


class _Outer(Section):
    inner: _Inner | None = None
    names: tuple[str, ...] = ("one",)


def test_nested_maps_are_merged_and_the_layers_are_left_alone() -> None:
    below = {"inner": {"deep": {"a": {"x": 1, "y": 2}}}}
    found = with_layer(_Outer, below, {"inner": {"deep": {"a": {"x": 9, "y": None}, "c": {"w": 4}}, "maybe": {"q": 1}}})
    assert found == {"inner": {"deep": {"a": {"x": 9}, "c": {"w": 4}}, "maybe": {"q": 1}}}
    assert below == {"inner": {"deep": {"a": {"x": 1, "y": 2}}}}
    defaults = with_layer(_Outer, {}, {"inner": {"deep": {"b": None}}, "names": ["two"], "unknown": {"k": None}})
    assert defaults == {"inner": {"deep": {"a": {"x": 1, "y": 2}}}, "names": ["two"], "unknown": {"k": None}}


def test_an_argument_of_the_library_replaces() -> None:
    assert SignalSettings(weights={"view": 2.0}).weights == {"view": 2.0}


SHIPPED = {
    "lastfm-2k": {"play": 1.0},
    "movielens-1m": DEFAULTS,
    "movielens-latest-small": DEFAULTS,
    "online-retail-ii-2009": DEFAULTS,
    "synthetic-shop": DEFAULTS,
    "trivago-100k": {"view": 1.0, "click": 5.0},
}


@pytest.mark.parametrize("file", sorted(ROOT.glob("conf/datasets/*.yaml")), ids=lambda file: file.stem)
@pytest.mark.parametrize("base", [(), (ROOT / "conf/local.yaml",)], ids=["alone", "local"])
def test_mappings_that_come_with_the_project_weigh_what_they_mean(file: Path, base: tuple[Path, ...]) -> None:
    assert load_config(base, dataset=file).signal.weights == SHIPPED[file.stem]


def test_the_file_of_all_defaults_changes_no_default() -> None:
    plain = yaml.safe_load((ROOT / "conf/base.yaml").read_text(encoding="utf-8"))
    assert plain["signal"]["weights"] == DEFAULTS == load_config().signal.weights
