"""Click rates of lists from what others have shown: by hand, by brute force, and where the truth is known."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.evaluation.offpolicy import estimates, snips, snips_sums

pytestmark = [pytest.mark.fast, pytest.mark.spark]

SHOWN = "user_id string, item_id string, position int, label double, propensity double, is_bot boolean"
LISTS = "stage string, user_id string, rank int, item_id string"
Shown = tuple[str, str, int, float | None, float | None, bool]

ROWS: list[Shown] = [
    ("u1", "a", 1, 1.0, 0.5, False),
    ("u1", "a", 2, 0.0, 0.25, False),
    ("u1", "b", 1, 0.0, 0.01, False),
    ("u1", "b", 3, None, 0.5, False),
    ("u2", "a", 2, 1.0, 0.125, False),
    ("u2", "c", 9, 1.0, None, False),
    ("robot", "a", 1, 1.0, 0.5, True),
]
ENTRIES = [
    ("final", "u1", 1, "a"), ("final", "u1", 2, "b"), ("final", "u2", 1, "c"), ("final", "robot", 1, "a"),
    ("popular", "u1", 1, "a"), ("popular", "u2", 1, "a"), ("popular", "u2", 2, "c"), ("idle", "u1", 1, "z"),
]  # fmt: skip
EFFECTS = [(1, 1.0), (2, 0.5), (3, 0.25)]


@pytest.fixture(scope="module")
def impressions(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ROWS, SHOWN)


@pytest.fixture(scope="module")
def lists(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ENTRIES, LISTS)


@pytest.fixture(scope="module")
def effects(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(EFFECTS, "position int, effect double")


def by_stage(frame: DataFrame) -> dict[str, dict[str, Any]]:
    return {row["stage"]: row.asDict() for row in frame.collect()}


def test_fractions_by_hand(lists: DataFrame, impressions: DataFrame, effects: DataFrame) -> None:
    """At k = 1 the list `final` matches a of u1 (weights 2 and 4) and c of u2 (no propensity, last effect)."""
    found = by_stage(snips(lists, impressions, k=1, effects=effects, resamples=10))
    final = found["final"]
    assert final["value"] == pytest.approx((2 + 1) / (2 * 1 + 4 * 0.5 + 1 * 0.25))
    assert final["corrected"] == pytest.approx((1 + 1) / (1 + 0.5 + 0.25))
    assert final["ess"] == pytest.approx((2 + 4 + 1) ** 2 / (4 + 16 + 1))
    assert (final["matches"], final["users"]) == (3, 2)
    assert "idle" not in found


def test_weights_are_clipped(lists: DataFrame, impressions: DataFrame) -> None:
    """At k = 2 b of u1 joins with weight 100, clipped to 5: no click."""
    found = by_stage(snips(lists, impressions, k=2, clip=5.0, resamples=10))
    assert found["final"]["value"] == pytest.approx((2 + 1) / (2 + 4 + 5 + 1))


def test_an_item_is_not_charged_with_its_position(spark: SparkSession) -> None:
    """Half the clicks where half of the users look are as good as all of them where everybody does."""
    shown = [(f"u{n}", "low", 2, float(n % 2), None, False) for n in range(8)]
    shown += [(f"u{n}", "high", 1, 1.0, None, False) for n in range(8)]
    lists = [(stage, f"u{n}", 1, stage) for n in range(8) for stage in ("low", "high")]
    effects = spark.createDataFrame([(1, 1.0), (2, 0.5)], "position int, effect double")
    frames = spark.createDataFrame(lists, LISTS), spark.createDataFrame(shown, SHOWN)
    found = by_stage(snips(*frames, k=1, effects=effects, resamples=10))
    assert found["low"]["value"] == found["high"]["value"] == 1.0
    assert by_stage(snips(*frames, k=1, resamples=10))["low"]["value"] == 0.5


def brute_force(rows: list[Shown], entries: list[tuple[str, str, int, str]], k: int, clip: float) -> dict[str, float]:
    effect = dict(EFFECTS)
    above, below = defaultdict(float), defaultdict(float)
    for stage, user, rank, item in entries:
        for shown_to, shown, position, label, propensity, bot in rows:
            if (shown_to, shown) == (user, item) and rank <= k and label is not None and not bot:
                weight = min(clip, 1 / propensity) if propensity else 1.0
                above[stage] += weight * label
                below[stage] += weight * effect.get(position, EFFECTS[-1][1])
    return {stage: above[stage] / below[stage] for stage in below}


def test_equal_to_brute_force(spark: SparkSession, effects: DataFrame) -> None:
    rng = np.random.default_rng(3)
    rows: list[Shown] = [
        (f"u{rng.integers(12)}", f"i{rng.integers(9)}", int(rng.integers(1, 6)), float(rng.integers(2)),
         None if rng.random() < 0.2 else float(rng.uniform(0.01, 1)), bool(rng.random() < 0.05))
        for _ in range(400)
    ]  # fmt: skip
    entries = [
        (stage, f"u{user}", rank + 1, f"i{item}")
        for stage in ("0.0", "0.5", "1.0")
        for user in range(12)
        for rank, item in enumerate(rng.permutation(9)[:6])
    ]
    frames = spark.createDataFrame(entries, LISTS), spark.createDataFrame(rows, SHOWN)
    found = by_stage(snips(*frames, k=4, effects=effects, clip=20.0, resamples=10))
    expected = brute_force(rows, entries, 4, 20.0)
    assert {stage: row["value"] for stage, row in found.items()} == {
        stage: pytest.approx(value, abs=1e-4) for stage, value in expected.items()
    }
    again = snips(frames[0].repartition(3), frames[1].repartition(2), k=4, effects=effects, clip=20.0, resamples=10)
    assert by_stage(again) == found


def logged(users: int, rng: np.random.Generator) -> tuple[list[Shown], np.ndarray]:
    """A shop of four items; item 0 is shown to 70 % at the first of two positions, and its clickers are few.

    Returns the impressions and the true click probability of each user and item.
    """
    taste = np.clip(np.array([0.1, 0.3, 0.5, 0.7]) + 0.1 * rng.standard_normal((users, 4)), 0.01, 0.99)
    chance = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.3, 0.3, 0.3]])
    rows: list[Shown] = []
    for user in range(users):
        for position in (1, 2):
            item = int(rng.choice(4, p=chance[position - 1]))
            clicked = rng.random() < taste[user, item] * (1.0, 0.5)[position - 1]
            rows.append((f"u{user}", f"i{item}", position, float(clicked), float(chance[position - 1][item]), False))
    return rows, taste


def test_the_value_of_another_policy_is_found(spark: SparkSession, effects: DataFrame) -> None:
    """The list is the items 0 and 3 for everybody: worth (.1 + .7) / 2, though item 0 is most of what was shown."""
    rows, taste = logged(3000, np.random.default_rng(5))
    entries = [
        (stage, f"u{user}", rank, f"i{item}")
        for user in range(3000)
        for stage, items in (("mixed", (0, 3)), ("best", (3, 2)))
        for rank, item in enumerate(items, start=1)
    ]
    frames = spark.createDataFrame(entries, LISTS), spark.createDataFrame(rows, SHOWN)
    found = by_stage(snips(*frames, k=2, effects=effects, differences=[("best", "mixed")], resamples=300))
    true = {"mixed": taste[:, [0, 3]].mean(), "best": taste[:, [3, 2]].mean()}
    for stage, value in true.items():
        assert found[stage]["ci_low"] < value < found[stage]["ci_high"]
    assert found["best-mixed"]["ci_low"] < true["best"] - true["mixed"] < found["best-mixed"]["ci_high"]
    # Without the weights item 0 would dominate.
    assert found["mixed"]["corrected_high"] < true["mixed"]
    assert found["mixed"]["ess"] < found["mixed"]["matches"]


def test_stages_are_compared_within_users(spark: SparkSession) -> None:
    """Equal lists differ by nothing in every resample, however wide their own intervals are."""
    rows, _ = logged(60, np.random.default_rng(2))
    entries = [(stage, f"u{user}", 1, "i0") for user in range(60) for stage in ("a", "b")]
    frames = spark.createDataFrame(entries, LISTS), spark.createDataFrame(rows, SHOWN)
    found = by_stage(snips(*frames, k=1, differences=[("a", "b")], resamples=100))
    assert found["a"]["ci_low"] < found["a"]["ci_high"]
    assert (found["a-b"]["value"], found["a-b"]["ci_low"], found["a-b"]["ci_high"]) == (0.0, 0.0, 0.0)


def test_instants_are_pooled_by_adding_their_sums(lists: DataFrame, impressions: DataFrame) -> None:
    """The same day twice is the same rate over twice the matches, with the same users' weights."""
    given = {"k": 2, "effects": None, "clip": 100.0, "stages": ["final", "popular"], "resamples": 50, "seed": 1}
    once = snips_sums(lists, impressions, **given)
    shape = {"stages": ["final", "popular"], "differences": [("final", "popular")], "resamples": 50}
    one, two = (by_stage(estimates(sums, **shape)) for sums in (once, once.unionByName(once)))
    for stage, row in one.items():
        assert two[stage]["value"] == row["value"] and two[stage]["ci_low"] == row["ci_low"]
        assert two[stage]["matches"] == 2 * row["matches"]
