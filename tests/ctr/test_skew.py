"""Profiles of the inputs in training, and how far other rows are from them."""

from __future__ import annotations

import math

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.ctr.inputs.fit import fit_spec
from recsys.ctr.inputs.profiles import counted
from recsys.ctr.inputs.seen import Profile
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.skew import Skew, require_similar, skew, stability_index
from recsys.errors import DataError

pytestmark = pytest.mark.spark

INPUTS = [
    InputSpec(name="color", source="color", kind="categorical", transform="vocabulary", min_count=1),
    InputSpec(name="price", source="price", kind="numeric", transform="log_zscore"),
    InputSpec(name="position", source="position", kind="categorical", transform="vocabulary", min_count=1),
    InputSpec(name="tags", source="tags", kind="multi_hot", transform="hash", buckets=10),
    InputSpec(name="v", source="v", kind="vector", transform="zscore"),
]
COLUMNS = (
    "case when id % 4 < 2 then 'red' when id % 4 = 2 then concat('c', id) end as color",
    "id * 1.0 as price",
    "id % 3 as position",
    "case when id % 5 = 0 then array() when id % 5 = 1 then null else array('x') end as tags",
    "array(id * 0.5, 1.0) as v",
)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.range(100).selectExpr(*COLUMNS)


@pytest.fixture(scope="module")
def spec(rows: DataFrame) -> FittedSpec:
    return fit_spec(rows, INPUTS)


def _bundle(spec: FittedSpec) -> ModelBundle:
    return ModelBundle({}, spec, {"settings": {}})


def test_shares_by_hand(spec: FittedSpec) -> None:
    color, price, _, tags, v = spec.profiles
    # a quarter is null, half is red, and of the 25 other colors nine are named
    assert color.shares == (0.25, 0.5, *[0.01] * 9, 0.16)
    assert color.values[0] == "red" and len(color.values) == 10
    assert price.shares[0] == 0.0 and len(price.edges) == 9
    assert all(share == pytest.approx(0.1, abs=0.011) for share in price.shares[1:])
    assert tags.shares == (0.4, 0.6)  # an empty list is no list
    assert v.shares == (0.0, 1.0)


def test_the_training_rows_are_counted_as_they_were_profiled(rows: DataFrame, spec: FittedSpec) -> None:
    counts = counted(rows.repartition(3), spec.inputs, {found.name: found for found in spec.profiles})
    assert {name: [n / 100 for n in found] for name, found in counts.items()} == {
        found.name: list(found.shares) for found in spec.profiles
    }
    assert all(found.psi == pytest.approx(0, abs=1e-6) for found in skew(_bundle(spec), rows))


def test_other_rows_are_told(rows: DataFrame, spec: FittedSpec, capsys: pytest.CaptureFixture[str]) -> None:
    """Prices of the upper half only, and a fifth of them missing; one position for all, which is meant to be."""
    now = rows.selectExpr(
        "color", "case when price % 5 > 0 then 50 + price / 2 end as price", "1L position", "tags", "v"
    )
    found = {item.input: item for item in skew(_bundle(spec), now)}
    assert list(found) == ["color", "price", "tags", "v"]
    assert found["color"].psi == pytest.approx(0, abs=1e-6)
    assert found["price"].psi > 1
    assert (found["price"].null_share_train, found["price"].null_share_now) == (0.0, 0.2)
    assert "never null in training, but in the rows to be scored: price" in capsys.readouterr().err
    assert "position" in {item.input for item in skew(_bundle(spec), now, ignore=())}
    with pytest.raises(DataError, match=r"1 inputs of the rows to be scored differ .* above 0.5: price \(\d"):
        require_similar(tuple(found.values()), max_psi=0.5)
    require_similar(tuple(found.values()), max_psi=100.0)


def test_nothing_to_compare(rows: DataFrame, spec: FittedSpec) -> None:
    assert skew(_bundle(spec), rows.limit(0)) == ()
    assert skew(_bundle(FittedSpec(spec.inputs, spec.tables)), rows) == ()


def test_an_empty_bin_is_finite() -> None:
    assert stability_index([1.0, 0.0], [0.5, 0.5]) == pytest.approx(
        -0.5 * math.log(0.5) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)
    )
    require_similar([Skew("x", 0.2, 0.0, 0.0)], max_psi=0.2)


def test_profiles_are_part_of_the_spec(spec: FittedSpec) -> None:
    again = FittedSpec.from_json(spec.to_json())
    assert again == spec and isinstance(again.profiles[0], Profile)
    smaller = spec.without("color")
    assert [item.name for item in smaller.inputs] == [found.name for found in smaller.profiles]
    assert [table.name for table in smaller.tables] == ["position", "tags"]
