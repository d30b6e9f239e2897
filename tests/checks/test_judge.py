"""What is judged odd, on facts whose verdict can be worked out by hand. No Spark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recsys.checks.facts import Facts, NewValues
from recsys.checks.judge import Finding, judge
from recsys.checks.outcome import require
from recsys.checks.settings import CheckSettings
from recsys.errors import ConfigError, DataError

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 5, 8, tzinfo=UTC)
FRESH = {"events": AS_OF - timedelta(hours=1)}


def facts(**values: Any) -> Facts:
    parts: dict[str, Any] = {name: {} for name in ("rows", "nulls", "new", "known", "kept", "refused")}
    return Facts(**{**parts, "latest": FRESH, **values})


def views(**by_age: int) -> dict[tuple[str, str, int], int]:
    """Rows of views by age: `d0=5` is five of them in the newest day; other days of four weeks have 1000."""
    return {("events", "view", age): by_age.get(f"d{age}", 1000) for age in range(29)}


def found(one: Facts, check: str, subject: str = "", table: str = "events", **settings: Any) -> Finding:
    findings = judge(one, CheckSettings(**settings), as_of=AS_OF)
    (match,) = [f for f in findings if (f.table, f.check, f.subject) == (table, check, subject)]
    return match


@pytest.mark.parametrize(
    ("newest", "status", "bound"), [(1000, "ok", 2000), (500, "ok", 500), (499, "warn", 500), (2001, "warn", 2000)]
)
def test_volume_is_held_against_half_and_twice_the_usual(newest: int, status: str, bound: float) -> None:
    one = found(facts(rows=views(d0=newest)), "volume")
    assert (one.status, one.value, one.expected, one.bound) == (status, newest, 1000, bound)


def test_usual_is_the_median_of_the_same_weekday() -> None:
    """Sundays have 200, 300, 400 and 9000: their median is 350, whatever the other days have."""
    one = found(facts(rows=views(d0=300, d7=200, d14=300, d21=400, d28=9000)), "volume")
    assert (one.expected, one.status) == (350, "ok")


def test_a_type_of_event_that_ceases_is_seen_though_the_total_is_as_usual() -> None:
    carts = {("events", "cart", age): 200 for age in range(1, 29)}
    one = facts(rows={**views(), **carts})
    assert found(one, "volume").status == "ok"
    assert (found(one, "volume", "cart").status, found(one, "volume", "cart").value) == ("warn", 0)


def test_two_weeks_of_a_log_and_few_rows_are_not_judged() -> None:
    young = {key: n for key, n in views(d0=1).items() if key[2] <= 20}
    few = {key: 99 * (key[2] > 0) for key in views()}
    for rows in (young, few):
        assert (found(facts(rows=rows), "volume").status, found(facts(rows=rows), "volume").bound) == ("ok", None)


def test_a_catalog_is_held_against_the_one_of_a_day_before() -> None:
    rows = {("items", "", 0): 400, ("items", "", 1): 1000}
    assert found(facts(rows=rows), "volume", table="items").status == "warn"


@pytest.mark.parametrize(("nulls", "status"), [(200, "ok"), (201, "warn")])
def test_nulls_may_rise_by_a_tenth_of_the_rows(nulls: int, status: str) -> None:
    """One in ten rows of the 28 days before has no device: a fifth is the bound."""
    rows = {("users", "", 0): 1000, ("users", "", 1): 28_000}
    counts = {("users", "country", 0): nulls, ("users", "country", 1): 2800}
    one = found(facts(rows=rows, nulls=counts), "null_share", "country", "users", volume_ratio=1e9)
    assert (one.status, one.expected, one.bound) == (status, 0.1, pytest.approx(0.2))


@pytest.mark.parametrize(("values", "rows", "status"), [(0, 0, "ok"), (1, 1, "note"), (1, 10, "note"), (3, 11, "warn")])
def test_new_values_are_a_note_up_to_a_hundredth_of_the_rows(values: int, rows: int, status: str) -> None:
    new = {("events", "device"): NewValues(values, rows, 1000, 5000, "tv" if values else None)}
    assert found(facts(new=new), "new_values", "device").status == status


def test_a_column_that_begins_has_no_new_values() -> None:
    new = {("events", "device"): NewValues(2, 900, 900, 0, "tv")}
    assert "new_values" not in {one.check for one in judge(facts(new=new), CheckSettings(), as_of=AS_OF)}


@pytest.mark.parametrize(("known", "status"), [(0, "note"), (1, "warn"), (799, "warn"), (800, "ok")])
def test_a_catalog_of_other_items_is_a_note_one_with_gaps_a_warning(known: int, status: str) -> None:
    one = found(facts(known={"items": (known, 1000)}), "known_items", "item_id")
    assert one.status == status
    assert ("no catalog of these items" in one.message) == (known == 0)


@pytest.mark.parametrize(("days", "status", "bound"), [(2, "ok", 2), (3, "warn", 2), (60, "warn", 2), (61, "stop", 60)])
def test_an_old_log_is_worth_a_warning_and_a_dead_one_stops(days: int, status: str, bound: float) -> None:
    one = found(facts(latest={"events": AS_OF - timedelta(days=days)}), "freshness")
    assert (one.status, one.value, one.bound) == (status, days, bound)


def test_old_lists_never_stop_by_themselves() -> None:
    one = facts(latest={**FRESH, "impressions": AS_OF - timedelta(days=100)})
    assert found(one, "freshness", table="impressions").status == "warn"


def test_refused_rows_are_shares_of_their_batches_and_repeats_have_a_bound_of_their_own() -> None:
    """970 rows were kept and 30 refused: 25 without an item, 10 of which repeat others too, and 5 repeats alone."""
    refused = {("events", ""): 30, ("events", "missing:item_id"): 25, ("events", "duplicate_row"): 15}
    one = facts(kept={"events": 970}, refused=refused)
    shares = {reason: found(one, "quarantined", reason) for _, reason in refused}
    assert {reason: (f.value, f.status) for reason, f in shares.items()} == {
        "": (0.03, "note"),
        "missing:item_id": (0.025, "warn"),
        "duplicate_row": (0.015, "ok"),
    }


def test_the_config_says_what_stops_and_the_sentence_says_why_and_what_to_do() -> None:
    one = facts(rows=views(d0=10), known={"items": (1, 1000)})
    findings = judge(one, CheckSettings(stops=("volume",)), as_of=AS_OF)
    assert {f.check: f.status for f in findings if f.fails} == {"volume": "stop", "known_items": "warn"}
    with pytest.raises(DataError) as error:
        require(findings, as_of=AS_OF)
    assert str(error.value) == (
        "the data before 2024-05-08T00:00:00Z did not pass its checks: volume of events: 10 rows where 1,000 are usual "
        "(10, bound 500; see whether a delivery is missing or came twice, or change check.stops); volume of "
        "events.view: 10 view events where 1,000 are usual (10, bound 500; see whether a delivery is missing or came "
        "twice, or change check.stops)"
    )
    require([f for f in findings if f.check != "volume"], as_of=AS_OF)


def test_settings_that_contradict_each_other_or_name_no_check_are_refused() -> None:
    with pytest.raises(ConfigError, match="stop_age_days 1 is below check.max_age_days 2"):
        CheckSettings(stop_age_days=1)
    with pytest.raises(ConfigError, match="did you mean volume"):
        CheckSettings(stops=("volumes",))
