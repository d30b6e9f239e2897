"""Names come from closed sets and values are possible: whatever is not is refused with the key and a way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from recsys import data
from recsys.config import Config, load_config
from recsys.errors import ConfigError

pytestmark = pytest.mark.fast

KNOWN = "known are view, click, cart, purchase, return, play, rating, other"


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("--set ")
    return text


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("candidates.seen_types=[purchased]", "'purchased'; did you mean purchase?"),
        ("candidates.seen_types=[view, all]", f"'all'; {KNOWN}, *"),
        ("evaluate.relevant_types=[buy]", f"'buy'; {KNOWN}"),
        ("evaluate.relevant_types=['*']", f"'*'; {KNOWN}"),
        ("evaluate.relevant_types=[Click]", "'Click'; did you mean click?"),
        ("evaluate.relevant_types=[clicks]", "'clicks'; did you mean click?"),
        ("signal.weights.bought=1", f"'bought'; {KNOWN}"),
        ("signal.weights={view: 1, carts: 2}", "'carts'; did you mean cart?"),
    ],
)
def test_an_event_type_is_one_of_the_contract(override: str, says: str) -> None:
    key = re.split(r"=|\.(?:bought|carts)", override)[0]
    text = refused(override)
    assert f": key {key}" in text
    assert f"there is no event type {says}" in text
    assert text.count("key ") == 1, "one mistake, told once"


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("spark.profile=clutser", "cluster"),
        ("warehouse.period=daily", "day"),
        ("ctr_examples.origins=[candidate]", "candidates"),
        ("signal.use_value=lod", "log"),
        ("train_ctr.optimizer=adagrid", "adagrad"),
        ("train_ctr.correction=weight", "weights"),
        ("train_ctr.calibration=plat", "platt"),
        ("train_ctr.launcher=horovot", "horovod"),
        ("train_ctr.network.kind=wide_deeep", "wide_deep"),
        ("retrievers.wide.kind=asl", "als"),
        ("train_ctr.inputs=[{name: a, source: price, kind: numerical, transform: zscore}]", "numeric"),
        ("train_ctr.inputs=[{name: a, source: price, kind: numeric, transform: log_zscor}]", "log_zscore"),
        ("train_ctr.inputs=[{name: a, source: prise, kind: numeric, transform: zscore}]", "price"),
        ("train_ctr.inputs=[{name: a, source: als_rnk, kind: numeric, transform: zscore}]", "als_rank"),
    ],
)
def test_any_other_name_is_refused_with_the_nearest(override: str, nearest: str) -> None:
    assert f"did you mean {nearest}?" in refused(override)


@pytest.mark.parametrize(
    "key", ["evaluate.ks", "evaluate.relevant_types", "ctr_examples.origins", "train_ctr.heads", "train_ctr.inputs"]
)
def test_a_list_that_needs_an_entry_is_not_empty(key: str) -> None:
    assert f"key {key}: a list of at least 1 is needed" in refused(f"{key}=[]")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("evaluate.ks=[5, 10, 5]", "key evaluate.ks: 5 is there twice"),
        ("evaluate.relevant_types=[play, play]", "key evaluate.relevant_types: play is there twice"),
        ("candidates.seen_types=['*', '*']", "key candidates.seen_types: * is there twice"),
        ("train_ctr.heads=[click, click]", "key train_ctr.heads: click is there twice"),
        (
            "train_ctr.inputs=[{name: a, source: price, kind: numeric, transform: zscore}, "
            "{name: a, source: hour, kind: numeric, transform: zscore}]",
            "key train_ctr.inputs: two inputs have the same name a",
        ),
    ],
)
def test_nothing_is_named_twice(override: str, says: str) -> None:
    assert says in refused(override)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("evaluate.ks=[0]", "key evaluate.ks.0: input should be greater than or equal to 1 (found 0)"),
        ("rank.k=yes", "key rank.k: true is not a number"),
        ("rank.diversity=off", "key rank.diversity: false is not a number"),
        ("signal.window_days=true", "key signal.window_days: true is not a number"),
        ("evaluate.ks=10", "key evaluate.ks: input should be a list (found 10)"),
        ("signal=[]", "key signal: input should be a mapping of keys"),
        ("signal.weights=[]", "key signal.weights: input should be a mapping of entries"),
        ("ctr_examples.holdout_share=0", "key ctr_examples.holdout_share: input should be greater than 0"),
        ("spark.driver_memory=0g", "key spark.driver_memory"),
        ("clean.earliest=soon", "key clean.earliest: 'soon' is not a date; write for example 1990-01-01"),
        ("clean.latest=2024-13-01", "looks like a date that does not exist"),
        ("clean.latest='2024-13-01'", "key clean.latest: '2024-13-01' is not a date"),
        ("train_ctr.seed=-1", "key train_ctr.seed: input should be greater than or equal to 0"),
        (
            "train_ctr.inputs=[{name: a, source: price, kind: categorical, transform: hash}]",
            "column price is double, which does not fit a categorical input",
        ),
        (
            "train_ctr.inputs=[{name: a, source: label, kind: numeric, transform: zscore}]",
            "the examples have no column label",
        ),
        (
            "train_ctr.inputs=[{name: a, source: item_id, kind: categorical, transform: hash, shares: b}]",
            "key train_ctr.inputs: input a shares b, which is no input",
        ),
    ],
)
def test_an_impossible_value_is_one_sentence(override: str, says: str) -> None:
    assert says in refused(override)


def test_dates_and_no_need_no_quotes(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("clean: {earliest: 2020-01-01, latest: 2021-01-01T00:00:00Z}\nsignal: {use_value: no}\n")
    config = load_config([file])
    assert (config.clean.earliest, config.clean.latest) == ("2020-01-01", "2021-01-01T00:00:00+00:00")
    assert config.signal.use_value == "no"


def test_a_date_that_does_not_exist_is_told_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("clean: {latest: 2024-02-30}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: a value looks like a date that does not exist"):
        load_config([file])


def _floats(model: BaseModel, prefix: str) -> list[str]:
    found = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += _floats(value, f"{prefix}{name}.")
        elif TypeAdapter(field.annotation).json_schema() and "number" in str(
            TypeAdapter(field.annotation).json_schema()
        ):
            found.append(f"{prefix}{name}" + (".view" if name == "weights" else ""))
    return found


def _all_floats() -> list[str]:
    config: Any = Config()
    sections = [name for name in Config.model_fields if name not in ("dataset", "retrievers")]
    found = [key for name in sections for key in _floats(getattr(config, name), f"{name}.")]
    return found + [key for one in config.retrievers for key in _floats(one, f"retrievers.{one.name}.")]


@pytest.mark.parametrize("key", _all_floats())
@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_a_number_is_finite(key: str, value: str) -> None:
    assert f"key {key}: " in refused(f"{key}={value}")


CONFLICTS = [
    (("clean.earliest=2020-01-01", "clean.latest=2020-01-01"), "is not before clean.latest 2020-01-01"),
    (("publish.min_list_length=21",), "publish.min_list_length 21 is above rank.k 20"),
    (("candidates.k=5", "publish.min_list_length=6"), "publish.min_list_length 6 is above candidates.k 5"),
    (("warehouse.catalog=main",), "warehouse.catalog main needs warehouse.database_name"),
    (("signal.weights={view: 0, click: 0, cart: 0, purchase: 0, play: 0, rating: 0}",), "has no weight above 0"),
    (("retrievers=[{kind: als, weight: 0}]",), "every entry of retrievers has the weight 0"),
    (
        ("train_ctr.inputs=[{name: a, source: als_rank, kind: numeric, transform: zscore}]", "retrievers.als=null"),
        "the examples have no column als_rank",
    ),
]


@pytest.mark.parametrize(("overrides", "says"), CONFLICTS, ids=lambda value: str(value)[:40])
def test_values_that_cannot_be_together_are_refused(overrides: tuple[str, ...], says: str) -> None:
    text = refused(*overrides)
    assert says in text
    assert text.startswith(f"--set {overrides[-1].partition('=')[0]}: "), "the flag since which they conflict"


@pytest.mark.parametrize(
    "overrides",
    [
        ("clean.latest=1980-01-01", "clean.earliest=1970-01-01"),
        ("publish.min_list_length=30", "rank.k=30"),
        ("warehouse.catalog=main", "warehouse.database_name=recsys"),
        (
            "train_ctr.inputs=[{name: a, source: wide_rank, kind: numeric, transform: zscore}]",
            "retrievers.wide.kind=als",
        ),
    ],
)
def test_they_are_judged_when_all_layers_are_read(overrides: tuple[str, ...]) -> None:
    assert load_config(overrides=overrides) == load_config(overrides=overrides[::-1])


def test_a_cut_off_deeper_than_the_lists_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    load_config(overrides=["evaluate.ks=[50]"])
    assert "evaluate.ks reaches 50, deeper than rank.k 20; lists that end there" in capsys.readouterr().err
    load_config(overrides=["evaluate.ks=[20]"])
    assert not capsys.readouterr().err


def test_the_schema_names_what_a_key_may_hold() -> None:
    parts = Config.model_json_schema()["$defs"]
    types = list(data.EVENT_TYPES)
    assert parts["EvaluateSettings"]["properties"]["relevant_types"]["items"]["enum"] == types
    assert parts["CandidatesSettings"]["properties"]["seen_types"]["items"]["enum"] == [*types, "*"]
    weights = parts["SignalSettings"]["properties"]["weights"]
    assert weights["propertyNames"]["enum"] == types
    assert {"type": "null"} in weights["additionalProperties"]["anyOf"], "a layer may remove an entry"
