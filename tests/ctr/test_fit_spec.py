"""Fitting the feature spec in Spark, on literal rows."""

from __future__ import annotations

import datetime
import math

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.arrow import collect_arrow
from recsys.ctr.inputs.figures import figures
from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.passes import quantile_boundaries
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.inputs.spec import FittedSpec
from recsys.errors import ConfigError, DataError, NothingToDo

pytestmark = pytest.mark.spark

SCHEMA = (
    "item string, history array<string>, price double, score float, day date, flag boolean, number int, "
    "same string, empty string, nothing array<int>, once int, at timestamp"
)
ROWS = [
    ("a", ["b", "c"], 1.0, 0.5, datetime.date(2020, 1, 1), True, 1, "s", None, [], 3, None),
    ("a", ["a"], 3.0, None, datetime.date(2020, 1, 1), False, 1, "s", None, None, None, None),
    ("b", None, float("nan"), None, datetime.date(2020, 1, 2), None, 2, "s", None, [], None, None),
    ("d", ["c", None], None, float("inf"), None, True, 3, "s", None, [], None, None),
]


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SCHEMA)


def _input(name: str, kind: str = "categorical", transform: str = "vocabulary", **more: object) -> InputSpec:
    return InputSpec.model_validate(
        {"name": name, "source": name, "kind": kind, "transform": transform, "min_count": 1, **more}
    )


def test_vocabularies_by_count_then_value_and_shared(rows: DataFrame) -> None:
    inputs = [_input("item", width=3), _input("history", "sequence", shares="item", length=2)]
    spec = fit_spec(rows, inputs)
    # a: 2 + 1, b: 1 + 1, c: 2, d: 1
    assert spec.table("item").vocabulary == ("a", "b", "c", "d")
    assert (spec.table("item").size, spec.table("item").width) == (6, 3)
    assert [(i.name, i.table, i.length) for i in spec.inputs] == [("item", "item", 1), ("history", "item", 2)]


def test_rare_values_and_the_largest_vocabulary(rows: DataFrame) -> None:
    inputs = [_input("item", min_count=2, max_vocabulary=2), _input("history", "sequence", shares="item")]
    assert fit_spec(rows, inputs).table("item").vocabulary == ("a", "b")
    first_only = [_input("item", min_count=2), _input("history", "sequence", shares="item", length=1)]
    assert fit_spec(rows, first_only).table("item").vocabulary == ("a", "b")


def test_an_owner_may_be_left_out(rows: DataFrame) -> None:
    spec = fit_spec(rows, [_input("same"), _input("history", "sequence", shares="same")])
    assert [d.name for d in spec.dropped] == ["same"]
    assert spec.table("same").vocabulary == ("c", "a", "b")


def test_means_are_over_finite_values(rows: DataFrame) -> None:
    spec = fit_spec(rows, [_input("price", "numeric", "zscore"), _input("number", "numeric", "log_zscore")])
    price, number = spec.inputs
    assert (price.mean, price.std, price.indicator) == (2.0, 1.0, True)
    logs = [math.log1p(x) for x in (1, 1, 2, 3)]
    assert number.mean == pytest.approx(sum(logs) / 4, rel=1e-5)
    assert not number.indicator


def test_scales_and_fills_are_those_of_the_finite_values(rows: DataFrame) -> None:
    """Prices are 1 and 3 as often; numbers are 1, 1, 2, 3: a quarter at either end draws 3 in to 2."""
    ranged = _input("price", "numeric", "minmax", missing="median")
    drawn = InputSpec(name="drawn", source="number", kind="numeric", transform="zscore", winsorize=0.25)
    price, number = fit_spec(rows, [ranged, drawn]).inputs
    assert (price.mean, price.std, price.fill, price.indicator) == (1.0, 2.0, 1.0, True)
    assert (number.low, number.high, number.mean, number.std) == (1.0, 2.0, 1.5, 0.5)


def test_one_value_and_nulls_tell_something(rows: DataFrame) -> None:
    (once,) = fit_spec(rows, [_input("once", "numeric", "zscore")]).inputs
    assert (once.mean, once.std, once.indicator) == (3.0, 1.0, True)


@pytest.fixture(scope="module")
def lists(spark: SparkSession) -> DataFrame:
    rows = [
        (["a", "b", "a"], [1.0, 4.0], [1.0]),
        (["b"], [3.0, 4.0], [1.0, 2.0]),
        (None, None, [1.0]),
        ([], [float("nan"), 4.0], [1.0]),
    ]
    return spark.createDataFrame(rows, "tags array<string>, v array<double>, ragged array<double>")


def test_a_set_is_as_long_as_the_largest_and_counts_a_value_once(lists: DataFrame) -> None:
    spec = fit_spec(lists, [_input("tags", "multi_hot", l2=0.5)])
    # b is in two sets, a in one, though twice
    assert spec.table("tags").vocabulary == ("b", "a")
    assert (spec.inputs[0].length, spec.inputs[0].l2) == (2, 0.5)
    assert spec.encode(collect_arrow(lists))["tags"].tolist() == [[2, 3], [2, 0], [0, 0], [0, 0]]
    assert fit_spec(lists, [_input("tags", "multi_hot", length=1)]).inputs[0].length == 1


def test_a_vector_has_a_mean_for_each_place(lists: DataFrame) -> None:
    (vector,) = fit_spec(lists, [_input("v", "vector", "zscore")]).inputs
    assert (vector.means, vector.stds, vector.indicator) == ((2.0, 4.0), (1.0, 1.0), True)
    with pytest.raises(DataError, match="column ragged holds arrays of 1 to 2 numbers; a vector needs as many"):
        fit_spec(lists, [_input("ragged", "vector", "zscore")])
    with pytest.raises(ConfigError, match=r"column tags is array<string>, which does not fit a vector input"):
        fit_spec(lists, [_input("tags", "vector", "zscore")])


def test_null_and_constant_columns_are_left_out_with_a_note(
    rows: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [_input("item"), _input("same"), _input("empty"), _input("nothing", "sequence")]
    spec = fit_spec(rows, inputs)
    assert [i.name for i in spec.inputs] == ["item"]
    assert {d.name: d.why for d in spec.dropped} == {
        "same": "same never changes",
        "empty": "empty is null everywhere",
        "nothing": "nothing is empty everywhere",
    }
    assert "input same is left out: same never changes in the training split" in capsys.readouterr().err


def test_buckets_and_hashes(rows: DataFrame) -> None:
    spec = fit_spec(
        rows, [_input("number", "numeric", "buckets", buckets=2), _input("item", transform="hash", buckets=10)]
    )
    assert spec.inputs[0].boundaries == (2.0,)
    assert spec.table("number").size == 4
    assert (spec.table("item").size, spec.table("item").vocabulary) == (12, None)


def test_what_was_fitted_encodes_the_same_rows(rows: DataFrame) -> None:
    names = ["item", "day", "flag", "number"]
    spec = fit_spec(rows, [_input(name) for name in names])
    out = spec.encode(collect_arrow(rows.select(*names)))
    assert out["item"].tolist() == [2, 2, 3, 4]
    assert out["day"].tolist() == [2, 2, 3, 0]
    assert out["flag"].tolist() == [2, 3, 0, 2]
    assert out["number"].tolist() == [2, 2, 3, 4]


def test_the_same_whatever_the_partitions(spark: SparkSession) -> None:
    frame = spark.range(500).selectExpr(
        "cast(id % 37 as string) as item",
        "id * 0.1 + 1 / (id + 3) as price",
        "array(cast(id % 5 as string)) as history",
    )
    inputs = [
        _input("item"),
        _input("history", "sequence", shares="item"),
        _input("price", "numeric", "zscore"),
        InputSpec(name="p", source="price", kind="numeric", transform="buckets", buckets=7),
    ]
    one, other = fit_spec(frame.coalesce(1), inputs), fit_spec(frame.repartition(5), inputs)
    assert one.to_json() == other.to_json()
    assert 5 <= len(one.inputs[3].boundaries) <= 6


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([_input("gone")], "input gone: the examples have no column gone"),
        ([_input("price")], "column price is double, which does not fit a categorical input"),
        ([_input("at")], "column at is timestamp, which does not fit a categorical input"),
        ([_input("item", "numeric", "zscore")], "column item is string, which does not fit a numeric input"),
        ([_input("item", "sequence")], "column item is string, which does not fit a sequence input"),
        ([_input("history")], "which does not fit a categorical input"),
        ([_input("item"), _input("item")], "the same name"),
        ([_input("item", shares="gone")], "input item shares gone"),
    ],
)
def test_what_cannot_be_fitted(rows: DataFrame, inputs: list[InputSpec], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_spec(rows, inputs)


def test_no_rows(rows: DataFrame) -> None:
    with pytest.raises(NothingToDo, match="the training split is empty"):
        fit_spec(rows.limit(0), [_input("item")])


def test_quantiles_by_hand() -> None:
    assert quantile_boundaries([(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)], 4) == (2.0, 3.0, 4.0)
    assert quantile_boundaries([(1.0, 9), (2.0, 1)], 4) == (2.0,)
    assert quantile_boundaries([(5.0, 3)], 4) == ()
    assert quantile_boundaries([], 4) == ()


BY_GROUP = [
    *(("a", x) for x in (1.0, 1.0, 4.0, 10.0)),
    *(("b", x) for x in (20.0, 30.0, 30.0)),
    ("c", 500.0),
    (None, 7.0),
    ("a", None),
]
"""Medians 1 and 30, means 4 and 80/3, most often 1 and 30; c has too few rows. Over all: median 10, mean 603/9."""


@pytest.mark.parametrize(
    ("missing", "fills", "other"),
    [("median", (1.0, 30.0), 10.0), ("mean", (4.0, 26.6667), 67.0), ("most_frequent", (1.0, 30.0), 1.0)],
)
def test_each_group_has_its_own_number_for_null(
    spark: SparkSession, missing: str, fills: tuple[float, ...], other: float
) -> None:
    frame = spark.createDataFrame(BY_GROUP, "kind string, x double").repartition(3)
    item = _input("x", "numeric", "minmax", missing=missing, by="kind", min_count=2)
    spec = fit_spec(frame, [item])
    (x,) = FittedSpec.from_json(spec.to_json()).inputs
    assert (x.groups, x.fills, x.indicator) == (("a", "b"), fills, True)
    rows = pa.table({"kind": ["a", "b", "c", None, "new"], "x": pa.array([None] * 5, pa.float64())})
    got = spec.encode(rows)["x"]
    assert got.tolist() == pytest.approx([(v - 1) / 499 for v in (*fills, other, other, other)], abs=1e-6)
    assert {"fill of a": fills[0], "fill of b": fills[1]}.items() <= {f[2]: f[3] for f in figures(spec)}.items()


def test_groups_are_a_column_of_categories(rows: DataFrame) -> None:
    with pytest.raises(ConfigError, match="by names price, which is no column of categories"):
        fit_spec(rows, [_input("number", "numeric", "zscore", by="price")])
    with pytest.raises(ValueError, match="by is for numbers"):
        _input("number", "numeric", "zscore", by="same", missing="constant", fill=1.0)
