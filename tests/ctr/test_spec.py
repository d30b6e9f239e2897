"""Encoding rows: literal values in, literal ids out."""

from __future__ import annotations

import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.inputs.layout import Layout
from recsys.ctr.inputs.settings import InputSpec, default_inputs, numeric_input
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.errors import ConfigError, DataError
from tests.ctr import shop

pytestmark = pytest.mark.fast


def _one(item: FittedInput, *tables: EmbeddingTable) -> FittedSpec:
    return FittedSpec(inputs=(item,), tables=tables)


def _vocabulary(*values: str) -> FittedSpec:
    table = EmbeddingTable("x", 4, 2 + len(values), values)
    return _one(FittedInput("x", "c", "categorical", "vocabulary", table="x"), table)


def test_null_is_0_unknown_is_1_known_from_2() -> None:
    out = _vocabulary("b", "a").encode(pa.table({"c": ["a", None, "z", "b"]}))
    assert out["x"].tolist() == [3, 0, 1, 2]
    assert out["x"].dtype == np.int32


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([7, None], pa.int64()), "7"),
        (pa.array([True, None]), "true"),
        (pa.array([datetime.date(2020, 1, 2), None]), "2020-01-02"),
        (pa.array(["v", None]).dictionary_encode(), "v"),
        (pa.array(["v", None], pa.large_string()), "v"),
    ],
)
def test_other_types_are_their_texts(values: pa.Array, text: str) -> None:
    assert _vocabulary("q", text).encode(pa.table({"c": values}))["x"].tolist() == [3, 0]


def test_a_column_of_nulls_without_a_type_is_null() -> None:
    assert _vocabulary("a").encode(pa.table({"c": pa.nulls(2)}))["x"].tolist() == [0, 0]


def test_floating_numbers_are_no_category() -> None:
    with pytest.raises(DataError, match="input x: a categorical column must hold texts"):
        _vocabulary("a").encode(pa.table({"c": [1.5]}))


def test_sequences_are_cut_and_padded_newest_first() -> None:
    table = EmbeddingTable("x", 4, 4, ("a", "b"))
    spec = _one(FittedInput("x", "c", "sequence", "vocabulary", table="x", length=3), table)
    rows = pa.table({"c": [["a"], None, [], ["b", "z", "a", "b"], [None, "a"]]})
    expected = [[2, 0, 0], [0, 0, 0], [0, 0, 0], [3, 1, 2], [0, 2, 0]]
    assert spec.encode(rows)["x"].tolist() == expected
    assert spec.encode(rows.slice(3))["x"].tolist() == expected[3:]
    assert spec.encode(rows.slice(0, 0))["x"].shape == (0, 3)
    chunks = pa.chunked_array([rows["c"].chunk(0).slice(0, 2), rows["c"].chunk(0).slice(2)])
    assert spec.encode(pa.table({"c": chunks}))["x"].tolist() == expected


def test_a_sequence_needs_a_list() -> None:
    table = EmbeddingTable("x", 4, 4, ("a", "b"))
    with pytest.raises(DataError, match="a sequence, a set or a vector needs a list"):
        _one(FittedInput("x", "c", "sequence", "vocabulary", table="x", length=3), table).encode(pa.table({"c": ["a"]}))


def test_a_set_has_no_order_and_no_repeats() -> None:
    """Ids rise as values get rarer: what does not fit is first the unknown, then the rarest."""
    table = EmbeddingTable("x", 4, 5, ("a", "b", "c"))
    spec = _one(FittedInput("x", "c", "multi_hot", "vocabulary", table="x", length=3), table)
    rows = pa.table({"c": [["b", "a", "b"], None, [], ["?", "c", "a"], ["c", "?", "b", "a", "!"], [None, "a"]]})
    expected = [[2, 3, 0], [0, 0, 0], [0, 0, 0], [2, 4, 1], [2, 3, 4], [2, 0, 0]]
    assert spec.encode(rows)["x"].tolist() == expected
    assert spec.encode(rows.slice(3))["x"].tolist() == expected[3:]
    turned = pa.table({"c": [None if row is None else row[::-1] for row in rows["c"].to_pylist()]})
    assert spec.encode(turned)["x"].tolist() == expected
    assert spec.encode(rows.slice(0, 0))["x"].shape == (0, 3)


def test_a_vector_is_standardized_by_place() -> None:
    item = FittedInput("v", "c", "vector", "zscore", means=(1.0, 0.0), stds=(2.0, 1.0), indicator=True)
    spec = _one(item)
    values = [[3.0, -1.0], None, [float("nan"), 99.0]]
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float32()), pa.list_(pa.float64(), 2)):
        out = spec.encode(pa.table({"c": pa.array(values, kind)}))
        assert [out[name].tolist() for name in item.dense] == [[1.0, 0.0, 0.0], [-1.0, 0.0, 8.0], [0.0, 1.0, 0.0]]
    layout = Layout.of(spec)
    assert layout.dense == ("v__0", "v__1", "v__missing")
    assert layout.pack(spec.encode(pa.table({"c": values})), 3).dense.tolist()[0] == [1.0, -1.0, 0.0]
    with pytest.raises(DataError, match="input v: the model was trained on vectors of 2 numbers, a row has 3"):
        spec.encode(pa.table({"c": [[1.0, 2.0, 3.0]]}))


def test_hashes_are_the_same_for_ever() -> None:
    spec = _one(FittedInput("x", "c", "categorical", "hash", table="x"), EmbeddingTable("x", 4, 102))
    out = spec.encode(pa.table({"c": ["a", None, "b", "a"]}))["x"]
    assert out[1] == 0
    assert out[0] == out[3] != out[2]
    assert out.min() == 0 and out[[0, 2]].min() >= 2 and out.max() < 102
    assert out.tolist() == spec.encode(pa.table({"c": ["z", "a", None, "b", "a"]}))["x"].tolist()[1:]
    assert spec.encode(pa.table({"c": pa.array([None, None], pa.string())}))["x"].tolist() == [0, 0]


def test_numbers_by_hand() -> None:
    spec = FittedSpec(
        inputs=(
            FittedInput("z", "c", "numeric", "zscore", mean=1.0, std=2.0, indicator=True),
            FittedInput("log", "c", "numeric", "log_zscore"),
            FittedInput("bucket", "c", "numeric", "buckets", table="bucket", boundaries=(0.0, 3.0)),
        ),
        tables=(EmbeddingTable("bucket", 2, 5),),
    )
    out = spec.encode(pa.table({"c": [3.0, None, float("nan"), float("inf"), -3.0, 1e9]}))
    assert out["z"].tolist() == [1.0, 0.0, 0.0, 0.0, -2.0, 8.0]
    assert out["z__missing"].tolist() == [0, 1, 1, 1, 0, 0]
    assert out["log"][[0, 4]].tolist() == pytest.approx([np.log(4), -np.log(4)])
    assert out["bucket"].tolist() == [4, 0, 0, 0, 2, 4]


@pytest.mark.parametrize(
    "values", [pa.array([1]), pa.array([True]), pa.array([decimal.Decimal(1)]), pa.array([1.0], pa.float32())]
)
def test_numbers_of_any_type(values: pa.Array) -> None:
    spec = _one(FittedInput("z", "c", "numeric", "zscore"))
    assert spec.encode(pa.table({"c": values}))["z"].tolist() == [1.0]


def test_text_is_no_number() -> None:
    with pytest.raises(DataError, match="input z: a numeric column must hold numbers, not string"):
        _one(FittedInput("z", "c", "numeric", "zscore")).encode(pa.table({"c": ["1"]}))


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match="lack the columns device, price"):
        shop.spec().encode(shop.table(3, seed=1).drop_columns(["device", "price"]))


def test_json_round_trip() -> None:
    spec = shop.spec()
    vector = _one(FittedInput("v", "c", "vector", "zscore", means=(1.0, 0.5), stds=(2.0, 1.0), l2=0.1))
    assert FittedSpec.from_json(vector.to_json()) == vector
    again = FittedSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.source_columns == ["item_id", "history", "device", "price", "als_score"]


@pytest.mark.parametrize("text", ["{", "{}", '{"inputs": [{"a": 1}], "tables": [], "dropped": []}', json.dumps([1])])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a feature spec"):
        FittedSpec.from_json(text)


def test_layout_stacks_tables_of_a_width() -> None:
    spec = shop.spec()
    layout = Layout.of(spec)
    narrow, wide = layout.groups
    assert (narrow.width, narrow.rows, narrow.offsets) == (4, 18, (0, 12))
    assert (wide.width, wide.rows, wide.offsets) == (8, 42, (0, 0, 0, 0, 0, 0))  # the history shares the item's rows
    assert layout.dense == ("price", "als", "als__missing")
    rows = shop.table(7, seed=1)
    encoded = spec.encode(rows)
    packed = layout.pack(encoded, 7)
    assert packed.ids.shape == (7, layout.ids) == (7, 8)
    assert packed.ids[:, 1].tolist() == encoded["price_bucket"].tolist()
    assert packed.ids[:, 3:].tolist() == encoded["history"].tolist()
    assert packed.dense[:, 2].tolist() == encoded["als__missing"].tolist()


def test_a_spec_without_inputs_says_so() -> None:
    with pytest.raises(DataError, match="no model input is left"):
        Layout.of(FittedSpec((), ()))


def test_what_retrievers_offer_stands_among_the_default_inputs() -> None:
    """In log scale before the rank of the candidate, anything else at the end: the order decides a model's bits."""
    plain = [item.name for item in default_inputs()]
    before = plain.index("candidate_rank")
    hashed = InputSpec(name="maker", source="maker", kind="categorical", transform="hash")
    offered = [numeric_input("a_score", "zscore"), numeric_input("a_rank"), hashed, numeric_input("b_rank")]
    assert [item.name for item in default_inputs(offered)] == [
        *plain[:before],
        "a_rank",
        "b_rank",
        *plain[before:],
        "a_score",
        "maker",
    ]
    assert plain[:2] == ["item", "history"]
    assert plain[-1] == "price_to_last_item_step"
    assert len(plain) == len(set(plain)) == 80


def test_a_number_in_steps_is_a_standardized_number_too() -> None:
    inputs = default_inputs()
    stepped = {item.source: item.name for item in inputs if item.transform == "buckets"}
    scaled = {item.source for item in inputs if item.transform in ("zscore", "log_zscore")}
    assert set(stepped) <= scaled
    assert all(name == f"{source}_step" for source, name in stepped.items())
    assert "last_item_distance" in stepped
