"""Price levels on a catalog of four prices."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.features.prices import price_levels, with_price_level
from tests.features import logs

pytestmark = pytest.mark.spark

MONDAY = datetime(2021, 3, 8, tzinfo=UTC)


def test_levels_by_hand(spark: SparkSession) -> None:
    """Prices 1, 2, 2 and 4: half of those at one's own price are cheaper, and in between nothing changes."""
    states = [logs.item(f"i{n}", category="a", price=price) for n, price in enumerate((1.0, 2.0, 2.0, 4.0))]
    # None of these is in the catalog as the week begins: changed, entered, and without a price.
    states.append(logs.item("i3", MONDAY + timedelta(seconds=1), category="a", price=100.0))
    states.append(logs.item("i4", MONDAY, category="a", price=100.0))
    states.append(logs.item("i5", category="a", price=100.0, added_at=MONDAY))
    states += [logs.item("i6", category="a"), logs.item("i7", category="a", price=0.0)]
    states.append(logs.item("i8", price=9.0))
    items = logs.frame(spark, data.ITEMS, logs.history(states, "item_id"))
    weeks = spark.createDataFrame([(MONDAY.date(),)], "week date")
    cases = [
        ("a", 1.0, 0.125),
        ("a", 0.01, 0.125),
        ("a", 1.5, 0.25),
        ("a", 2.0, 0.5),
        ("a", 3.0, 0.75),
        ("a", 4.0, 0.875),
        ("a", 1e9, 0.875),
        ("a", None, None),
        ("a", 0.0, None),
        (None, 9.0, 0.5),
        ("b", 9.0, None),
    ]
    rows = [(n, category, price, date(2021, 3, 14)) for n, (category, price, _) in enumerate(cases)]
    rows.append((len(cases), "a", 1.0, date(2021, 3, 15)))
    frame = spark.createDataFrame(rows, "n int, category string, price double, day date")
    found = with_price_level(frame, price_levels(items, weeks), day="day").orderBy("n").collect()
    # The last row lies in a week that nobody asked for.
    assert [row.price_level for row in found] == [*(level for *_, level in cases), None]
