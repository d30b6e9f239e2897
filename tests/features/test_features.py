"""Daily partials and features as of an instant, against a brute-force computation from the log."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.errors import DataError
from recsys.features import daily
from recsys.features import entities as features
from tests.features import logs
from tests.features.logs import AS_OF, Row
from tests.support.queries import counting_jobs

pytestmark = pytest.mark.spark
TODAY = AS_OF.date()


def expected(rows: list[Row], key: str, name: str, as_of: datetime) -> Row:
    """Compute one row of features straight from the events."""
    today = as_of.date()
    past = [
        r
        for r in logs.people(rows)
        if r[key] == name and r["event_time"] < as_of and (today - r["event_date"]).days <= 365
    ]
    out: Row = {
        f"n_{kind}_{days}d": sum(r["event_type"] == kind and (today - r["event_date"]).days <= days for r in past)
        for days in data.FEATURE_WINDOWS
        for kind in data.COUNTED_EVENTS
    }
    values = [r["value"] for r in past if r["value"] is not None and r["event_type"] != "return"]
    bought = [r for r in past if r["event_type"] == "purchase" and r["price"] is not None]
    out["value_mean_365d"] = pytest.approx(sum(values) / len(values), rel=1e-9) if values else None
    back = [r for r in past if r["event_type"] == "return" and r["price"] is not None]
    net = sum(r["price"] * (r["quantity"] or 1) for r in bought) - sum(r["price"] * (r["quantity"] or 1) for r in back)
    out["revenue_365d"] = pytest.approx(max(net, 0), rel=1e-9, abs=1e-9)
    out["active_days_365d"] = len({r["event_date"] for r in past})
    last = max((r["event_time"] for r in past), default=None)
    out["days_since_last"] = pytest.approx((as_of - last).total_seconds() / 86400) if last else None
    return out


ITEMS = logs.history(
    [
        logs.item("i0", category="a", price=1.0, added_at=AS_OF - timedelta(days=3)),
        logs.item("i0", AS_OF - timedelta(days=1), category="b", price=2.0, available=False),
        logs.item("i0", AS_OF, category="future", price=9.0),
        logs.item("i99", category="never touched"),
    ],
    "item_id",
)
USERS = logs.history(
    [
        logs.user("u0", segment="old", birth_year=1990, signed_up_at=AS_OF - timedelta(days=10)),
        logs.user("u0", AS_OF - timedelta(seconds=1), segment="new", birth_year=1990, country="DE"),
        logs.user("u0", AS_OF + timedelta(seconds=1), segment="future"),
    ],
    "user_id",
)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("as_of", [AS_OF, datetime(2021, 3, 10, tzinfo=UTC)])
def test_features_equal_a_brute_force_computation(spark: SparkSession, seed: int, as_of: datetime) -> None:
    rows = logs.events(seed)
    log = logs.frame(spark, data.EVENTS, rows)
    users = logs.frame(spark, data.USERS, logs.valid(USERS, "user_id", as_of).values())
    items = logs.frame(spark, data.ITEMS, logs.valid(ITEMS, "item_id", as_of).values())
    of_users = features.user_features(
        events=log, daily=daily.daily_partials(log, entity="user"), users=users, as_of=as_of
    )
    of_items = features.item_features(
        events=log, daily=daily.daily_partials(log, entity="item"), items=items, as_of=as_of
    )
    assert of_users.columns == data.USER_FEATURES.column_names
    assert of_items.columns == data.ITEM_FEATURES.column_names
    for key, found in (("user_id", of_users.collect()), ("item_id", of_items.collect())):
        assert len({row[key] for row in found}) == len(found) > 4
        for row in found:
            want = expected(rows, key, row[key], as_of)
            assert {name: row[name] for name in want} == want


def test_states_are_those_valid_just_before(spark: SparkSession) -> None:
    log = logs.frame(spark, data.EVENTS, [])
    users = logs.frame(spark, data.USERS, logs.valid(USERS, "user_id", AS_OF).values())
    items = logs.frame(spark, data.ITEMS, logs.valid(ITEMS, "item_id", AS_OF).values())
    partials = daily.daily_partials(log, entity="user")
    (one,) = features.user_features(events=log, daily=partials, users=users, as_of=AS_OF).collect()
    assert (one.segment, one.country, one.age, one.tenure_days) == ("new", "DE", 31, None)
    partials = daily.daily_partials(log, entity="item")
    found = {
        r.item_id: r for r in features.item_features(events=log, daily=partials, items=items, as_of=AS_OF).collect()
    }
    assert (found["i0"].category, found["i0"].price, found["i0"].available) == ("b", 2.0, False)
    assert found["i99"].n_view_365d == 0 and found["i99"].days_since_last is None


def test_same_bits_whatever_the_order_and_the_future(spark: SparkSession) -> None:
    rows = logs.events(3, 400, users=2, items=2)
    past = [r for r in rows if r["event_time"] < AS_OF]
    outputs = []
    for log, partitions in ((rows, 1), (rows[::-1], 7), (past, 3)):
        frame = logs.frame(spark, data.EVENTS, log, partitions)
        partials = daily.daily_partials(frame, entity="item").repartition(partitions)
        items = logs.frame(spark, data.ITEMS, [])
        table = features.item_features(events=frame, daily=partials, items=items, as_of=AS_OF)
        outputs.append(sorted(map(tuple, table.collect())))
    assert len(outputs[0]) == 2
    assert outputs[0] == outputs[1] == outputs[2]


def test_implausible_amounts_stay_out_of_sums(spark: SparkSession) -> None:
    time = AS_OF - timedelta(days=2)
    values = [1.5, float("inf"), float("nan"), -1e300, None, 0.25]
    rows = [
        logs.event(event_id=str(n), user_id="u", item_id="i", event_time=time, value=value)
        for n, value in enumerate(values)
    ]
    (row,) = daily.daily_partials(logs.frame(spark, data.EVENTS, rows), entity="user").collect()
    assert (row.n, row.value_n, row.value_sum, row.revenue_sum) == (6, 2, 1.75, None)


def test_only_missing_and_changed_days_are_stale(spark: SparkSession) -> None:
    def on(day: int, number: int, *, bot: bool = False) -> Row:
        time = datetime(2021, 3, day, 9, tzinfo=UTC)
        return logs.event(event_id=f"{day}-{number}", user_id="u", item_id="i", event_time=time, is_bot=bot)

    before = [on(1, 1), on(2, 1), on(3, 1), on(4, 1), on(4, 2), on(10, 1)]
    after = [on(1, 9), on(2, 1), on(2, 2), on(4, 1), on(4, 2, bot=True), on(5, 1), on(10, 1), on(10, 2)]
    kept = daily.daily_partials(logs.frame(spark, data.EVENTS, before), entity="item")
    log = logs.frame(spark, data.EVENTS, after)

    def stale(partials: DataFrame) -> list[int]:
        counts = daily.day_counts(log, {"item": partials}, since=date(2021, 3, 1), until=date(2021, 3, 10))
        return [day.day for day in counts.stale("item")]

    # Day 1 has another event, 2 grew, 3 vanished, 4 now has a robot, 5 is new; 10 is not over yet.
    assert stale(kept) == [1, 2, 3, 4, 5]
    assert stale(daily.daily_partials(log, entity="item")) == []
    only = daily.daily_partials(log, entity="item", days=[date(2021, 3, 2)]).collect()
    assert [(r.event_date.day, r.n) for r in only] == [(2, 2)]


def test_an_instant_before_the_log_names_the_time_that_the_log_covers(spark: SparkSession) -> None:
    at = datetime(2021, 3, 4, 9, tzinfo=UTC)
    log = logs.frame(spark, data.EVENTS, [logs.event(event_id="e", user_id="u", item_id="i", event_time=at)])
    daily.require_past(log, at + timedelta(seconds=1))
    with pytest.raises(DataError, match="the log runs from 2021-03-04T09:00:00Z to 2021-03-04T09:00:00Z"):
        daily.require_past(log, at)
    with pytest.raises(DataError, match="table events is empty"):
        daily.require_past(log.limit(0), at)


def test_both_partials_are_checked_in_one_query(spark: SparkSession) -> None:
    at = datetime(2021, 3, 4, 9, tzinfo=UTC)
    log = logs.frame(spark, data.EVENTS, [logs.event(event_id="e", user_id="u", item_id="i", event_time=at)])
    partials = {entity: daily.daily_partials(log, entity=entity) for entity in daily.TABLES}
    kept = {entity: partial.localCheckpoint() for entity, partial in partials.items()}
    with counting_jobs(spark) as jobs:
        daily.require_complete(log, kept, since=date(2021, 3, 1), until=date(2021, 3, 10))
    assert jobs.count <= 4
    with pytest.raises(DataError, match="item_daily does not match the events of 2021-03-04"):
        partly = {**kept, "item": kept["item"].limit(0)}
        daily.require_complete(log, partly, since=date(2021, 3, 1), until=date(2021, 3, 10))
