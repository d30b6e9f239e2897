"""Repurchases on literal rows, with rates that can be worked out by hand."""

from __future__ import annotations

from math import exp

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.config import load_config
from recsys.data.log import Log
from recsys.errors import ConfigError, NothingToDo
from recsys.retrieval import registry
from recsys.retrieval.buy_again.rates import Totals
from recsys.retrieval.buy_again.retriever import BuyAgain, BuyAgainModel, spoken
from tests.retrieval.shop import Row, log_of, table

DAY = 24.0
ROWS = [
    # u buys milk every 10 days, and bought a lamp once; v bought milk once; w gave it up long ago.
    *(Row("u", "milk", "purchase", days * DAY) for days in (30, 20, 10)),
    # A second line of one order is no repeat; nor are a view, a robot's purchase and the future.
    Row("u", "milk", "purchase", 20 * DAY - 1),
    Row("u", "milk", "view", 5 * DAY),
    Row("u", "lamp", "purchase", 10 * DAY),
    Row("v", "milk", "purchase", 50 * DAY),
    *(Row("w", "milk", "purchase", days * DAY) for days in (60, 58, 56)),
    Row("robot", "lamp", "purchase", 50 * DAY, bot=True),
    Row("robot", "lamp", "purchase", 40 * DAY, bot=True),
    Row("u", "lamp", "purchase", 0),
]
SHAPE, PRIOR = 1.0, 2.0
DAYS = 30 + 10 + 50 + 60
RATE = 4 / DAYS
"""Four repeats in the days since first purchases, of four pairs."""
EXPOSURE = PRIOR * DAYS / 4


def item_rate(repeats: int, days: float) -> float:
    return (repeats + EXPOSURE * RATE) / (days + EXPOSURE)


def score(k: int, days: float, since: float, rate: float) -> float:
    expected = (SHAPE + k) / (SHAPE / rate + days)
    return expected * exp(-max(0.0, since * expected - 1))


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> Log:
    return log_of(spark, ROWS)


@pytest.fixture(scope="module")
def model(log: Log) -> BuyAgainModel:
    return BuyAgain(shape=SHAPE, prior_buyers=PRIOR).fit(log)


@pytest.mark.spark
def test_rates_of_items(model: BuyAgainModel) -> None:
    found = {row["item_id"]: row for row in model.frames["rates"].collect()}
    assert {name: (row["buyers"], row["repeats"]) for name, row in found.items()} == {"milk": (3, 4), "lamp": (1, 0)}
    assert found["milk"]["rate"] == pytest.approx(item_rate(4, 140))
    assert found["lamp"]["rate"] == pytest.approx(item_rate(0, 10))
    assert model.metrics["repeat_share"] == pytest.approx(4 / 8)


@pytest.mark.spark
def test_scores_and_cycles_of_users(model: BuyAgainModel) -> None:
    rows = {(r["user_id"], r["item_id"]): r for r in model.frames["repurchases"].collect()}
    milk, lamp = item_rate(4, 140), item_rate(0, 10)
    expected = {
        ("u", "milk"): (2, 30, 10, milk),
        ("u", "lamp"): (0, 10, 10, lamp),
        ("v", "milk"): (0, 50, 50, milk),
        ("w", "milk"): (2, 60, 56, milk),
    }
    assert {pair: row["score"] for pair, row in rows.items()} == pytest.approx(
        {pair: score(*given) for pair, given in expected.items()}
    )
    assert score(*expected["w", "milk"]) < 3 / (1 / milk + 60), "56 days are more than one cycle: overdue"
    assert [(rows[pair]["days_bought"], rows[pair]["cycle_days"]) for pair in expected] == [
        (3, pytest.approx(10, abs=0.01)),
        (1, None),
        (1, None),
        (3, pytest.approx(2)),
    ]
    assert [rows["u", name]["rank"] for name in ("milk", "lamp")] == [1, 2]


@pytest.mark.spark
def test_the_reason_claims_no_more_than_the_user_did(spark: SparkSession, model: BuyAgainModel) -> None:
    lists = spark.createDataFrame([("u", "milk"), ("v", "milk"), ("u", "other")], "user_id string, item_id string")
    rows, cases = model.explain(lists)
    text = F.coalesce(*(F.when(case.when, case.sentence) for case in cases))
    assert table(rows.select("user_id", "item_id", text)) == [
        ("u", "milk", "You buy this about every week"),
        ("u", "other", None),
        ("v", "milk", "You bought this before"),
    ]


@pytest.mark.spark
def test_cycles_as_people_say_them(spark: SparkSession) -> None:
    given = [0.4, 1.6, 6.0, 6.6, 21.0, 44.0, 46.0, 365.0]
    said = spark.createDataFrame([(d,) for d in given], "d double").select("d", spoken(F.col("d")).alias("s")).collect()
    assert [row["s"] for row in sorted(said)] == [
        "day",
        "2 days",
        "6 days",
        "week",
        "3 weeks",
        "6 weeks",
        "2 months",
        "12 months",
    ]


@pytest.mark.spark
def test_a_log_without_repeats_says_so(spark: SparkSession) -> None:
    with pytest.raises(NothingToDo, match="purchase on two days"):
        BuyAgain().fit(log_of(spark, [Row("u", "a", "purchase", 5), Row("u", "b", "purchase", 99)]))


@pytest.mark.fast
def test_it_is_known_but_not_in_the_default_list_and_needs_seen_items() -> None:
    assert "buy_again" in registry.kinds() and "buy_again" not in [one.kind for one in registry.defaults()]
    entry = "retrievers.buy_again={kind: buy_again}"
    config = load_config(overrides=[entry, "candidates.exclude_seen=false"])
    assert config.retrievers[-1] == BuyAgain()
    with pytest.raises(
        ConfigError, match="retrievers.buy_again proposes only what users have seen.*exclude_seen=false"
    ):
        load_config(overrides=[entry])


@pytest.mark.fast
def test_totals_of_nothing() -> None:
    nothing = Totals(0, 0, 0.0)
    assert nothing.share == 0.0 and 0 < nothing.rate < 1e-6
