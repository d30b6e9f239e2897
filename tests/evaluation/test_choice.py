"""The weights of the heads and the guard: a brute-force oracle on random lists, and verdicts by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from recsys.ctr.heads import Heads
from recsys.evaluation.choice import GRID, PLAIN, Order, best_of, choose, judged, measured, order_of, worth

pytestmark = [pytest.mark.fast, pytest.mark.spark]

K = 3
SCHEMA = (
    "list_id string, item_id string, split string, label double, candidate_rank double, plain_score double, "
    "p_engage double, p_click double, examined double, clicked double"
)
Row = dict[str, Any]


class Bundle:
    """Stands in for a model: its figures alone."""

    def __init__(self, loss: float | None = 0.1, base: float = 0.2) -> None:
        self.metrics = {} if loss is None else {"test_logloss_calibrated": loss, "test_logloss_base_rate": base}


def heads(**bundles: Bundle) -> Heads:
    return Heads(bundles)  # type: ignore[arg-type]


def rows(lists: int, *, seed: int, split: str = "valid", informed: float = 0.0) -> list[Row]:
    """Random lists of 4 to 8 items; `informed` is how far p_engage follows the label."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(lists):
        size = int(random.integers(4, 9))
        order = random.permutation(size) + 1
        for place in range(size):
            label = float(random.random() < 0.3)
            shown = float(random.random() < 0.5)
            found.append(
                {
                    "list_id": f"l{number:04d}",
                    "item_id": f"i{place}",
                    "split": split,
                    "label": label,
                    "candidate_rank": float(order[place]),
                    "plain_score": 1.0 / (10.0 + float(order[place])),
                    "p_engage": float(0.05 + 0.9 * (informed * label + (1 - informed) * random.random())),
                    "p_click": float(0.05 + 0.9 * random.random()),
                    "examined": shown,
                    "clicked": shown * float(random.random() < 0.4),
                }
            )
    return found


def oracle(found: list[Row], order: dict[str, float]) -> tuple[list[float], float, float, float]:
    """NDCG of each list with a positive, and sums among the first K: examined, clicked, clicks predicted."""
    figures, examined, clicked, predicted = [], 0.0, 0.0, 0.0
    for name in sorted({row["list_id"] for row in found}):
        mine = sorted((row for row in found if row["list_id"] == name), key=lambda row: row["item_id"])
        if order:
            mine.sort(key=lambda row: -sum(w * math.log(row[f"p_{head}"]) for head, w in order.items()))
        else:
            mine.sort(key=lambda row: row["candidate_rank"])
        gain = sum(row["label"] / math.log2(place + 2) for place, row in enumerate(mine[:K]))
        positives = min(K, int(sum(row["label"] for row in mine)))
        if positives:
            figures.append(gain / sum(1 / math.log2(place + 2) for place in range(positives)))
        examined += sum(row["examined"] for row in mine[:K])
        clicked += sum(row["clicked"] for row in mine[:K])
        predicted += sum(row["examined"] * row["p_click"] for row in mine[:K])
    return figures, examined, clicked, predicted


def test_orders_are_worth_what_brute_force_says(spark: SparkSession) -> None:
    found = rows(40, seed=1)
    orders: list[dict[str, float]] = [{}, {"engage": 1.0}, {"engage": 1.0, "click": 0.5}]
    judged_orders = worth(spark.createDataFrame(found, SCHEMA).repartition(3), orders, k=K)
    base, *_ = oracle(found, {})
    for order, got in zip(orders, judged_orders, strict=True):
        figures, examined, clicked, predicted = oracle(found, order)
        gains = np.array(figures) - np.array(base)
        assert got.lists == len(figures)
        assert got.ndcg == pytest.approx(np.mean(figures), abs=1e-8)
        assert got.gain == pytest.approx(np.mean(gains), abs=1e-8)
        assert got.error == pytest.approx(np.std(gains) / math.sqrt(len(gains) - 1), abs=1e-6)
        assert got.snips == pytest.approx(clicked / examined)
        assert got.predicted == pytest.approx(predicted / examined)


def test_lists_without_a_positive_count_for_clicks_alone() -> None:
    table = pa.Table.from_pylist([{**row, "label": 0.0} for row in rows(3, seed=2)])
    sums = measured(table, [{}], k=K).to_pylist()[0]
    assert sums["lists"] == 0 and sums["examined"] > 0


FLAT = Order(100, 0.2, 0.0, 0.0, 0.10)


ALONE = Order(100, 0.20, 0.04, 0.01, 0.10)


@pytest.mark.parametrize(
    ("orders", "best"),
    [
        ([ALONE, Order(100, 0.18, 0.02, 0.01, 0.20)], 1),  # half of the gain is left, twice the clicks
        ([ALONE, Order(100, 0.179, 0.019, 0.01, 0.90)], 0),  # less than half is left
        ([ALONE, Order(100, 0.19, 0.03, 0.01, 0.105)], 0),  # .01995 is less than .020
        ([Order(29, 0.2, 0.04, 0.01, 0.10), Order(29, 0.3, 0.14, 0.01, 0.20)], 0),  # too few lists
        ([Order(100, 0.16, 0.04, 0.01, 0.10), Order(100, 0.3, 0.14, 0.01, 0.20)], 0),  # nothing gained
        ([Order(100, 0.2, 0.04, 0.01, None), Order(100, 0.3, 0.14, 0.01, None)], 0),  # nothing tells of clicks
    ],
)
def test_the_best_weight_by_hand(orders: list[Order], best: int) -> None:
    """Retrieval has .16, so that `ALONE` gains .04; what the gains of orders are over does not matter here."""
    assert best_of(orders, retrieval=0.16) == best


@pytest.mark.parametrize(
    ("ranked", "engage", "used", "says"),
    [
        (Order(100, 0.25, 0.05, 0.02, None), Bundle(), True, r"used: NDCG@3 0\.2500 .* \+0\.0500 \[\+0\.0108, "),
        (Order(100, 0.22, 0.02, 0.02, None), Bundle(), False, r"not used: NDCG@3"),
        (Order(29, 0.9, 0.7, 0.01, None), Bundle(), False, "29 held-out lists"),
        (Order(100, 0.25, 0.05, 0.02, None), Bundle(loss=0.2), False, "logloss is not below"),
        (Order(100, 0.25, 0.05, 0.02, None), Bundle(loss=None), False, "logloss is not below"),
    ],
)  # fmt: skip
def test_verdicts_by_hand(ranked: Order, engage: Bundle, used: bool, says: str) -> None:
    found = judged(FLAT, FLAT, ranked, heads(engage=engage), k=K, behind=False)
    assert found[0] is used
    assert re.search(says, found[1])


def test_a_ranker_behind_the_fitted_union_is_not_used(spark: SparkSession) -> None:
    """It is better than the config's weights, but those of the day put what was taken up first."""
    found = rows(150, seed=3, informed=0.4) + rows(150, seed=4, split="test", informed=0.4)
    ahead = [{**row, "candidate_rank": 1.0 + 9.0 * (1.0 - row["label"])} for row in found]
    choice = choose(spark.createDataFrame(ahead, SCHEMA), heads(engage=Bundle()), k=K)
    assert not choice.used and re.search(r"not used: .* \+0\.\d+ .*, 1\.0000 by those of the day", choice.why)


def test_the_order_by_the_weights_of_the_config_is_that_of_its_score() -> None:
    table = pa.Table.from_pylist(rows(50, seed=7))
    plain, by_rank = map(order_of, measured(table, [PLAIN, {}], k=K).to_pylist())
    assert plain.ndcg == by_rank.ndcg and by_rank.gain == 0.0


def test_a_ranker_that_knows_is_used(spark: SparkSession) -> None:
    found = rows(150, seed=3, informed=0.8) + rows(150, seed=4, split="test", informed=0.8)
    choice = choose(spark.createDataFrame(found, SCHEMA), heads(engage=Bundle(), click=Bundle()), k=K)
    assert choice.used, choice.why
    assert [point.weight for point in choice.curve] == list(GRID)
    assert {point.head for point in choice.curve} == {"click"}
    _, examined, clicked, predicted = oracle([row for row in found if row["split"] == "test"], dict(choice.weights))
    told = {"click_test_top_predicted": predicted / examined, "click_test_top_observed": clicked / examined}
    assert choice.metrics == pytest.approx(told)


def test_a_ranker_that_guesses_is_rarely_used() -> None:
    """A 95 % interval lies above zero by chance in one of forty cases."""
    used = 0
    for seed in range(80):
        table = pa.Table.from_pylist(rows(100, seed=100 + seed))
        plain, ranked = map(order_of, measured(table, [PLAIN, {"engage": 1.0}], k=K).to_pylist())
        used += judged(plain, plain, ranked, heads(engage=Bundle()), k=K, behind=ranked.ndcg < plain.ndcg)[0]
    assert used <= 6


def test_a_head_that_is_worse_than_the_base_rate_has_no_weight(spark: SparkSession) -> None:
    found = rows(60, seed=5) + rows(60, seed=6, split="test")
    choice = choose(spark.createDataFrame(found, SCHEMA), heads(engage=Bundle(), click=Bundle(loss=0.3)), k=K)
    assert choice.weights == {"engage": 1.0, "click": 0.0} and choice.curve == ()
