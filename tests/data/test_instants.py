"""What tables are cut by means the same in every time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from recsys.data import AS_OF_KEY, Table, slice_of, stamp
from recsys.store.catalog import all_tables

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("table", all_tables(), ids=lambda table: table.name)
def test_no_table_is_partitioned_by_a_timestamp(table: Table) -> None:
    """Delta reads such a partition's value in the time zone of the JVM."""
    assert {table.column(name).type for name in table.partitions} <= {"string", "date"}


@pytest.mark.parametrize("table", [t for t in all_tables() if AS_OF_KEY.name in t.column_names], ids=lambda t: t.name)
def test_the_instant_itself_stays_a_column_and_part_of_the_key(table: Table) -> None:
    assert table.column("as_of").type == "timestamp"
    assert "as_of" in table.key
    assert AS_OF_KEY.name in table.partitions


def test_an_instant_is_written_in_utc() -> None:
    instant = datetime(2024, 3, 31, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(instant) == "20240330T233000Z"
    assert slice_of(instant) == {"as_of_key": "20240330T233000Z"}


def test_two_instants_of_one_second_differ() -> None:
    first, second = (datetime(2024, 3, 31, microsecond=n, tzinfo=UTC) for n in (0, 250_000))
    assert stamp(first) == "20240331T000000Z"
    assert stamp(second) == "20240331T000000.250000Z"


def test_an_instant_without_a_zone_has_no_text() -> None:
    with pytest.raises(TypeError, match="needs a zone"):
        stamp(datetime(2024, 3, 31))
