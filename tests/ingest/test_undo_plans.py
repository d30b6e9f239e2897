"""Which units an undo takes back, and which it reads along. No session."""

from __future__ import annotations

import pytest

from recsys.errors import DataError
from recsys.ingest.undo import Undo, planned
from recsys.ingest.units import UNDOING, Ledger, Span, Unit
from tests.ingest.support import dataset, source

pytestmark = pytest.mark.fast

GOODS = {"name": "goods", "table": "items", "path": "goods", "columns": {"item_id": "sku"}}
SOURCES = dataset(source(name="web"), source(name="app"), source(**GOODS)).sources
SPANS = {
    ("web", "a.json"): Span(10, 20),
    ("web", "b.json"): Span(20, 30),
    ("app", "c.json"): Span(5, 9),
    ("app", "d [1].json"): Span(15, 16),
    ("goods", "e.json"): Span(0, 0),
    ("goods", "f.json"): Span(0, 0),
}
THERE = {
    "web": [Unit("a.json", "1"), Unit("b.json", "1"), Unit("z.json", "1")],
    "app": [Unit("c.json", "1")],
    "goods": [Unit("e.json", "1"), Unit("f.json", "1")],
}


def plan(*patterns: str, versions: dict[str, str] | None = None, traced: bool = True) -> Undo | None:
    units = {key: ((versions or {}).get(key[1], "1"), "r") for key in SPANS}
    spans = {key: Span(span.first, span.last, traced) for key, span in SPANS.items()}
    return planned(SOURCES, THERE, Ledger(units, {}, spans), patterns)


def test_nothing_is_taken_back_unless_it_is_asked_for() -> None:
    assert plan() is None
    assert plan("z.json") is None, "it is new"


def test_units_of_the_same_time_are_read_along() -> None:
    """One shares an instant, one is earlier, one is not there any more; another table has nothing to do with it."""
    found = plan("a.*")
    assert found is not None
    assert (found.keys, found.beside) == ({("web", "a.json")}, {("web", "b.json")})
    assert (found.again("web"), found.again("app")) == ({"a.json", "b.json"}, set())


def test_states_without_a_time_are_not_read_along() -> None:
    found = plan("e.json")
    assert found is not None and (found.beside, found.whole) == (set(), set())


@pytest.mark.parametrize("pattern", ["d*", "d [1]*", "nothing.json"])
def test_a_pattern_that_stands_for_nothing_is_told(pattern: str) -> None:
    with pytest.raises(DataError, match="no unit is called"):
        plan(pattern)


def test_what_is_gone_is_taken_back_by_its_name() -> None:
    found = plan("d [1].json")
    assert found is not None and found.keys == {("app", "d [1].json")}
    assert found.beside == {("web", "a.json")}


def test_an_undo_that_was_begun_goes_on() -> None:
    found = plan(versions={"c.json": UNDOING})
    assert found is not None and found.keys == {("app", "c.json")}


def test_rows_that_carry_no_unit_go_with_all_units_of_their_table() -> None:
    with pytest.raises(DataError, match="a.json was read by a version before 0.8.*--reingest"):
        plan("a.json", traced=False)
    found = plan("e.json", "f.json", traced=False)
    assert found is not None and found.whole == {"items"}
