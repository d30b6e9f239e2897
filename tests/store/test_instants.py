"""The condition that bounds a table's time, on whichever column its partitions are named by."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recsys import data
from recsys.store.instants import between

pytestmark = pytest.mark.fast

SINCE, BEFORE = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "first", "last"),
    [
        (["event_date", "event_year"], "`event_year` >= 2024", "`event_year` <= 2024"),
        (["event_date", "event_month"], "`event_month` >= '2024-02'", "`event_month` <= '2024-03'"),
        (["event_date"], "`event_date` >= DATE '2024-02-01'", "`event_date` <= DATE '2024-03-01'"),
    ],
)
def test_the_partition_column_itself_is_bounded(columns: list[str], first: str, last: str) -> None:
    """A bound on the date of a table by year makes Delta list its files twice."""
    found = between(data.EVENTS, since=SINCE, before=BEFORE, columns=columns).split(" AND ")
    assert [found[1], found[3]] == [last, first]
    assert found[0].startswith("`event_time` < TIMESTAMP") and found[2].startswith("`event_time` >= TIMESTAMP")
