"""The effect of positions: found again from clicks that were drawn with known effects."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from recsys.features.positions import alternate, position_effects

pytestmark = pytest.mark.fast
AS_OF = datetime(2021, 3, 10, tzinfo=UTC)
TRUTH = np.array([1.0, 0.7, 0.5, 0.35, 0.25, 0.2])
COLUMNS = "item_id string, position int, propensity double, clicked bigint"


def drawn(seed: int = 3, *, items: int = 60, lists: int = 40_000) -> pd.DataFrame:
    """Clicks on lists that put the better items higher, with the probability of each place logged."""
    rng = np.random.default_rng(seed)
    appeal = np.linspace(0.6, 0.05, items)
    places = len(TRUTH)
    # An item is drawn for each position on its own, with odds that grow with its appeal towards the top.
    odds = np.stack([appeal ** (2.0 - 0.6 * place) for place in range(places)])
    odds /= odds.sum(axis=1, keepdims=True)
    frames = []
    for place in range(places):
        item = rng.choice(items, size=lists, p=odds[place])
        clicked = rng.random(lists) < appeal[item] * TRUTH[place]
        frames.append(
            pd.DataFrame(
                {
                    "item_id": [f"i{n:02d}" for n in item],
                    "position": place + 1,
                    "propensity": odds[place][item],
                    "clicked": clicked.astype(int),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def naive(frame: pd.DataFrame) -> np.ndarray:
    rate = frame.groupby("position")["clicked"].mean().to_numpy()
    return np.asarray(rate / rate[0])


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame.groupby(["item_id", "position"], as_index=False)["clicked"].agg(["size", "sum"])
    return rows.assign(item=rows["item_id"].str[1:].astype(int))


def test_turns_recover_what_the_click_rate_by_position_hides() -> None:
    frame = drawn()
    rows = cells(frame)
    fitted = alternate(
        rows["item"].to_numpy(),
        rows["position"].to_numpy(),
        shown=rows["size"].to_numpy(),
        clicked=rows["sum"].to_numpy(),
    )
    relative = fitted[1:7] / fitted[1]
    assert np.abs(relative - TRUTH).max() < 0.03
    assert np.abs(naive(frame) - TRUTH).max() > 0.1
    assert np.isnan(fitted[7:]).all()


def test_turns_of_two_items_by_hand() -> None:
    """Both items lose half of their clicks at position 2; a third that nobody ever clicks changes nothing."""
    fitted = alternate(
        np.array([0, 0, 1, 1, 2]),
        np.array([1, 2, 1, 2, 2]),
        shown=np.array([10, 100, 100, 10, 900]),
        clicked=np.array([4, 20, 20, 1, 0]),
    )
    assert fitted[2] / fitted[1] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(("logged", "method", "off"), [(True, "propensity", 0.05), (False, "alternating", 0.03)])
def test_rows_of_the_table(spark: SparkSession, logged: bool, method: str, off: float) -> None:
    frame = drawn(lists=20_000 if logged else 40_000)
    rows = frame.groupby(["item_id", "position", "propensity", "clicked"], as_index=False).size()
    kept = rows.assign(propensity=rows["propensity"] if logged else None)
    shown = spark.createDataFrame(kept, f"{COLUMNS}, size bigint")
    shown = shown.selectExpr("item_id", "position", "propensity", "clicked", "explode(sequence(1L, size)) AS copy")
    found = position_effects(shown.drop("copy"), as_of=AS_OF)
    assert found is not None
    table = found.orderBy("position").toPandas()
    assert list(table["position"]) == [1, 2, 3, 4, 5, 6] and set(table["method"]) == {method}
    assert table["effect"][0] == 1.0
    assert np.abs(table["effect"] - TRUTH).max() < off
    assert table["shown"].sum() == len(frame) and table["clicked"].sum() == frame["clicked"].sum()
    assert set(table["as_of_key"]) == {"20210310T000000Z"}


def test_too_few_clicks_tell_nothing(spark: SparkSession) -> None:
    rows = [("i1", 1, None, 0)] * 50 + [("i1", 2, None, 1)] * 50
    assert position_effects(spark.createDataFrame(rows, COLUMNS), as_of=AS_OF) is None
    # Enough of them, but none at position 1, which all others are measured by.
    assert position_effects(spark.createDataFrame(rows * 3, COLUMNS), as_of=AS_OF) is None
    assert position_effects(spark.createDataFrame([], COLUMNS), as_of=AS_OF) is None


def test_where_nothing_was_clicked_the_effect_is_small_but_positive(spark: SparkSession) -> None:
    rows = [("i1", 1, None, 1)] * 150 + [("i1", 2, None, 0)] * 150 + [("i2", 3, None, 0)]
    found = position_effects(spark.createDataFrame(rows, COLUMNS), as_of=AS_OF)
    assert found is not None
    # Position 3 only showed an item that says nothing; it goes by its neighbor.
    assert [row.effect for row in found.orderBy("position").collect()] == [1.0, 0.001, 0.001]
