"""What the report reads out of a ranker's row of `models`."""

from __future__ import annotations

import pytest

from recsys.evaluation.gather import alphas_of, reliability_of

pytestmark = pytest.mark.fast


def test_reliability_curves_by_head_in_order_of_bins() -> None:
    metrics = {
        "click_test_reliability_02_predicted": 0.4, "click_test_reliability_02_observed": 0.5,
        "click_test_reliability_02_rows": 7.0, "click_test_reliability_01_predicted": 0.1,
        "click_test_reliability_01_observed": 0.2, "click_test_reliability_01_rows": 9.0,
        "engage_test_reliability_01_predicted": 0.3, "engage_test_reliability_01_observed": 0.3,
        "engage_test_reliability_01_rows": 2.0, "click_test_auc_raw": 0.7,
    }  # fmt: skip
    assert reliability_of(metrics) == {"click": [(0.1, 0.2, 9), (0.4, 0.5, 7)], "engage": [(0.3, 0.3, 2)]}
    assert reliability_of({}) == {}


def test_what_was_tried_for_the_first_head_of_value() -> None:
    curve = [
        {"head": "click", "weight": 0.0, "ndcg": 0.2, "snips": 0.1},
        {"head": "click", "weight": 0.5, "ndcg": 0.19, "snips": None},
        {"head": "cart", "weight": 0.0, "ndcg": 0.19, "snips": None},
    ]
    assert alphas_of({"curve": curve}) == [(0.0, 0.2, 0.1), (0.5, 0.19, None)]
    assert alphas_of({"curve": None}) == alphas_of(None) == []
