"""Scales of numbers fitted on counted values, by hand, and what a row becomes on them. No Spark."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.inputs.figures import figures
from recsys.ctr.inputs.scaling import KNOTS, scaled
from recsys.ctr.inputs.seen import Profile
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.errors import ConfigError

pytestmark = pytest.mark.fast

COUNTS = [(0.0, 1), (1.0, 4), (2.0, 2), (3.0, 2), (93.0, 1)]
"""Ten values: median 1, quartiles 1 and 3, mean 10.7, most often 1."""
MEAN, STD = 10.7, 27.4501


def fitted(transform: str, **settings: Any) -> FittedInput:
    item = InputSpec(name="x", source="c", kind="numeric", transform=transform, **settings)
    return FittedInput("x", "c", "numeric", transform, **scaled(item, COUNTS, mean=MEAN, std=STD))


def encoded(item: FittedInput, *values: float | None) -> list[float]:
    out = FittedSpec((item,), ()).encode(pa.table({"c": pa.array(values, pa.float64())}))
    return [float(value) for value in out["x"]]


def test_a_standardized_number_is_what_it_was_before_there_were_settings() -> None:
    plain = fitted("zscore")
    assert (plain.mean, plain.std, plain.fill, plain.low) == (MEAN, STD, None, None)
    assert encoded(plain, 10.7, None) == [0.0, 0.0]


def test_minmax_goes_from_0_to_1_and_no_further() -> None:
    """Null becomes the mean: 10.7 of 93."""
    assert encoded(fitted("minmax"), -5, 0, 93, 1000, None) == pytest.approx([0, 0, 1, 1, 10.7 / 93])


def test_robust_is_centered_on_the_median_and_scaled_by_the_quartiles() -> None:
    """Their distance is 2, and 1.349 of a normal distribution."""
    assert encoded(fitted("robust", missing="median"), 1, 3, None) == pytest.approx([0, 1.349, 0], abs=1e-6)


def test_log_alone_is_not_standardized() -> None:
    item = fitted("log", missing="constant", fill=3.0)
    assert encoded(item, 1, -1, None) == pytest.approx([math.log(2), -math.log(2), math.log(4)])


def test_quantile_is_the_share_of_smaller_values_with_half_of_the_equal_ones() -> None:
    """One is 0; four are 1: .1 + .2. Between 3 (7 below, 2 equal: .8) and 93 (.95) it is linear."""
    item = fitted("quantile")
    assert encoded(item, 0, 1, 2, 3, 48, 93) == pytest.approx([0.05, 0.3, 0.6, 0.8, 0.875, 0.95])
    assert encoded(item, -9, 1e9) == pytest.approx([0.05, 0.95])


def test_a_quantile_scale_of_many_values_has_few_points_and_stays_close() -> None:
    counts = [(float(value) ** 2, 1) for value in range(5000)]
    item = InputSpec(name="x", source="c", kind="numeric", transform="quantile")
    values = scaled(item, counts, mean=0.0, std=1.0)
    assert len(values["boundaries"]) <= KNOTS
    true = (np.arange(5000) + 0.5) / 5000
    got = encoded(FittedInput("x", "c", "numeric", "quantile", **values), *(value for value, _ in counts))
    assert np.abs(np.asarray(got) - true).max() < 0.005


@pytest.mark.parametrize(
    ("settings", "fill"),
    [({"missing": "mean"}, 0.0), ({"missing": "median"}, 1.0), ({"missing": "most_frequent"}, 1.0)],
)
def test_what_stands_for_null(settings: dict[str, Any], fill: float) -> None:
    item = fitted("zscore", **settings)
    assert encoded(item, None) == pytest.approx([(fill - MEAN) / STD if settings["missing"] != "mean" else 0.0])


def test_winsorizing_draws_both_ends_in_before_anything_is_fitted() -> None:
    """A tenth at either end: from 0 to 3. What is left is 0, 1 x 4, 2 x 2, 3 x 3: mean 1.7, variance 3.9 - 2.89."""
    item = fitted("zscore", winsorize=0.1)
    assert (item.low, item.high, item.mean) == (0.0, 3.0, pytest.approx(1.7))
    std = math.sqrt(1.01)
    assert encoded(item, -50, 3, 1e6) == pytest.approx([-1.7 / std, 1.3 / std, 1.3 / std])


def test_robust_z_draws_in_what_is_far_from_the_median() -> None:
    """Distances from 1: 0 x 4, 1 x 3 (one 0, two 2), 2 x 2, 92: their median is 1, so 2 of them reach 2 / .6745."""
    item = fitted("minmax", robust_z=2.0)
    reach = 2 / 0.6745
    assert (item.low, item.high) == (pytest.approx(1 - reach), pytest.approx(1 + reach))
    assert encoded(item, 0, 93, 2) == pytest.approx([0, 1, 2 / (1 + reach)])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"transform": "buckets", "winsorize": 0.1}, "for numbers that are not in buckets"),
        ({"transform": "zscore", "missing": "constant"}, "constant and fill go together"),
        ({"transform": "zscore", "fill": 1.0}, "constant and fill go together"),
        ({"transform": "zscore", "winsorize": 0.1, "robust_z": 3}, "winsorize or robust_z, not both"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        InputSpec(name="x", source="c", kind="numeric", **settings)


def test_what_was_fitted_can_be_read() -> None:
    item = fitted("robust", missing="median", winsorize=0.1)
    spec = FittedSpec(
        (item, FittedInput("w", "word", "categorical", "vocabulary", table="w")),
        (EmbeddingTable("w", 4, 3, ("a",)),),
        profiles=(Profile("x", (0.2, 0.4, 0.4), edges=(1.0,)), Profile("w", (0.1, 0.9), values=("a",))),
    )
    assert figures(spec) == [
        ("x", "c", "null_share", 0.2),
        ("x", "c", "center", 1.0),
        ("x", "c", "scale", 2 / 1.349),
        ("x", "c", "low", 0.0),
        ("x", "c", "high", 3.0),
        ("x", "c", "fill", 1.0),
        ("x", "c", "edge_1", 1.0),
        ("w", "word", "null_share", 0.1),
    ]
