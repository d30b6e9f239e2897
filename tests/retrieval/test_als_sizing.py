"""Settings of ALS that come from the size of the data: by hand."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.retrieval.als.sizing import Fit, Size, fit_for

pytestmark = pytest.mark.fast

NONE: dict[str, Any] = {"rank": None, "iterations": None, "reg": None, "alpha": None}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # Cube root 100, so 128. .05 x 25e6 / 1e6 = 1.25 and a tenth of it.
        (Size(5_000, 5_000, 1_000_000, 1e6), Fit(128, 12, 0.125, 1.25)),
        # The same data at weights of 5: a fifth of the confidence per unit, and the same regularization.
        (Size(5_000, 5_000, 1_000_000, 5e6), Fit(128, 12, 0.125, 0.25)),
        # .05 x 2e6 / 27,000 = 3.70; cube root 30, so 32. One interaction more than 32 ^ 3 takes 64.
        (Size(1_000, 2_000, 27_000, 27_000.0), Fit(32, 12, 0.37, 3.7)),
        (Size(1_000, 2_000, 32_768, 32_768.0), Fit(32, 12, 0.305, 3.05)),
        (Size(1_000, 2_000, 32_769, 32_769.0), Fit(64, 12, 0.305, 3.05)),
        # Bounds: a log without gaps, and one with hardly anything.
        (Size(10, 10, 100, 100.0), Fit(8, 12, 0.1, 1.0)),
        (Size(10**7, 10**6, 10**9, 1e9), Fit(128, 12, 50.0, 500.0)),
        # Weights that are not there count as 1.
        (Size(1_000, 2_000, 27_000, 0.0), Fit(32, 12, 0.37, 3.7)),
    ],
)
def test_implicit(size: Size, expected: Fit) -> None:
    assert fit_for(size, implicit=True, **NONE) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # 125 ratings per user or item: .3 / 5; and 27.
        (Size(4_000, 4_000, 1_000_000, 3.5e6), Fit(16, 15, 0.06, 0.0)),
        (Size(500, 500, 27_000, 1e5), Fit(16, 15, 0.1, 0.0)),
        (Size(500, 500, 1_000, 1e5), Fit(16, 15, 0.2, 0.0)),
    ],
)
def test_ratings(size: Size, expected: Fit) -> None:
    assert fit_for(size, implicit=False, **NONE) == expected


def test_what_is_given_is_kept_and_the_rest_follows_it() -> None:
    size = Size(1_000, 2_000, 27_000, 54_000.0)
    given = {"rank": 5, "iterations": 3, "reg": 0.0, "alpha": 0.0}
    assert fit_for(size, implicit=True, **given) == Fit(5, 3, 0.0, 0.0)
    assert fit_for(size, implicit=True, **{**NONE, "alpha": 4.0}) == Fit(32, 12, 0.8, 4.0)
    assert fit_for(size, implicit=True, **{**NONE, "alpha": 0.0}).reg == 0.01
