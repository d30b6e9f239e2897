"""Units and the ledger: which of them have to be read. No session."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pyspark.sql import DataFrame

from recsys.ingest.files import InputFile
from recsys.ingest.record import late_before
from recsys.ingest.settings import CleanSettings
from recsys.ingest.sources import Batch, rules_of
from recsys.ingest.units import Ledger, Unit, plain_path, units_of_files, units_of_table
from tests.ingest.support import dataset, source

pytestmark = pytest.mark.fast

UNITS = [Unit("a.json", "10-1"), Unit("b.json", "10-1"), Unit("c.json", "10-1")]
KNOWN = Ledger({("s", "a.json"): ("10-1", "r"), ("s", "b.json"): ("9-1", "r"), ("other", "c.json"): ("10-1", "r")})


def unread(rules: str | None = "r", *again: str) -> list[str]:
    return [unit.name for unit in KNOWN.unread("s", UNITS, rules=rules, again=again)]


def test_new_and_changed_units_are_read() -> None:
    """One is known, one has another size now, one is known of another source alone."""
    assert unread() == ["b.json", "c.json"]


def test_units_that_were_read_under_other_rules_are_read_again() -> None:
    assert unread("r2") == ["a.json", "b.json", "c.json"]


def test_rules_may_be_waived() -> None:
    assert unread(None) == ["b.json", "c.json"]


def test_known_units_are_read_again_by_name() -> None:
    assert unread("r", "a.json") == ["a.json", "b.json", "c.json"]


def test_a_table_that_is_gone_leaves_nothing_known() -> None:
    newest = {"s": datetime(2024, 5, 1, tzinfo=UTC), "other": datetime(2024, 5, 2, tzinfo=UTC)}
    left = Ledger(KNOWN.units, newest).about(["other"])
    assert (left.sources(), left.newest) == ({"other"}, {"other": newest["other"]})


def test_a_file_is_a_unit_by_its_size_and_time() -> None:
    (unit,) = units_of_files([InputFile("file:/raw/day 1/a.json", 10, 77)], "/raw")
    assert (unit.name, unit.version, unit.size) == ("day 1/a.json", "10-77", 10)


def test_a_delta_table_is_one_unit_by_its_newest_commit() -> None:
    log = [InputFile(f"file:/raw/t/_delta_log/{n:020}.json", 5, n) for n in (9, 10, 2)]
    assert [(unit.name, unit.version) for unit in units_of_table(log, "/raw")] == [("t", "10-5-10")]


@pytest.mark.parametrize(
    ("uri", "path"), [("file:///raw/a%20%5B1%5D.csv", "file:/raw/a [1].csv"), ("s3://b/50%2525", "s3://b/50%25")]
)
def test_a_row_tells_its_file_as_it_is_listed(uri: str, path: str) -> None:
    assert plain_path(uri) == path


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"optional": True, "late_after_days": 3, "path": "elsewhere"}, True),
        ({"where": "price > 1"}, False),
        ({"null_values": ["NA"]}, False),
    ],
)
def test_rules_are_what_decides_rows(changes: dict[str, Any], same: bool) -> None:
    mapping, settings = dataset(), CleanSettings()
    (other,) = dataset(source(**changes)).sources
    assert (rules_of(other, mapping, settings) == rules_of(mapping.sources[0], mapping, settings)) is same


@pytest.mark.parametrize(("key", "value", "same"), [("quarantine_limit", 0.9, True), ("max_id_length", 9, False)])
def test_settings_that_only_stop_a_run_are_no_rules(key: str, value: Any, same: bool) -> None:
    mapping = dataset()
    before, after = (rules_of(mapping.sources[0], mapping, s) for s in (CleanSettings(), CleanSettings(**{key: value})))
    assert (before == after) is same


def test_the_bound_follows_the_newest_row_of_earlier_batches() -> None:
    mapping = dataset(source(name="a", late_after_days=7), source(name="b", late_after_days=7), source(name="c"))
    frames = tuple((one, cast(DataFrame, None)) for one in mapping.sources)
    newest = {"a": datetime(2024, 5, 20, tzinfo=UTC), "c": datetime(2024, 5, 20, tzinfo=UTC)}
    batch = Batch(mapping, "x", frames, (), "")
    assert late_before(batch, Ledger({}, newest)) == {"a": datetime(2024, 5, 13, tzinfo=UTC)}
