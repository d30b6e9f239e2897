"""Logs of any frame: the caller's columns, types of ids and kinds of time in; one sentence where they can't be used."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.data.log import Log, as_instant
from recsys.errors import DataError

pytestmark = [pytest.mark.fast, pytest.mark.spark]

NAMES = {"user": "customer", "item": "sku", "time": "ts"}


def frame(
    spark: SparkSession, rows: list[tuple[Any, ...]], schema: str = "customer bigint, sku string, ts string"
) -> DataFrame:
    return spark.createDataFrame(rows, schema)


@pytest.fixture(scope="module")
def log(spark: SparkSession) -> Log:
    rows = [(7, "a", "2024-05-30"), (7, "b", "2024-06-01T00:00:00Z"), (8, "a", "2024-06-03"), (8, "a", "2024-06-20")]
    return Log.from_frame(frame(spark, rows), **NAMES)


def test_ids_become_texts_and_come_back_in_the_callers_type(log: Log) -> None:
    assert [row["user_id"] for row in log.events.orderBy("event_time").collect()] == ["7", "7", "8", "8"]
    back = log.ids.restore(log.events.select("user_id", "item_id"))
    assert dict(back.dtypes) == {"user_id": "bigint", "item_id": "string"}


def test_as_of_lies_just_after_the_last_action(log: Log) -> None:
    assert log.as_of == datetime(2024, 6, 20, 0, 0, 0, 1, tzinfo=UTC)
    assert repr(log) == "Log(as_of=2024-06-20T00:00:00Z, user=customer, item=sku)"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize(
    "time",
    [
        "TIMESTAMP_NTZ '2024-03-10 02:30:00'",
        "'2024-03-10T02:30:00'",
        "'2024-03-10 02:30:00Z'",
        "'2024-03-10T04:30:00+02:00'",
        "timestamp_micros(1710037800000000)",
    ],
)
def test_every_kind_of_time_is_the_same_instant_in_any_zone(spark: SparkSession, time: str, zone: str) -> None:
    """02:30 does not exist in New York on that day."""
    before = str(spark.conf.get("spark.sql.session.timeZone"))
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        raw = spark.range(1).select(F.col("id").alias("customer"), F.lit("a").alias("sku"), F.expr(time).alias("ts"))
        made = Log.from_frame(raw, **NAMES)
        assert made.events.select(F.unix_micros("event_time")).first() == (1_710_037_800_000_000,)
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)


def test_dates_begin_at_midnight_utc(spark: SparkSession) -> None:
    made = Log.from_frame(frame(spark, [(1, "a", date(2024, 6, 1))], "customer int, sku string, ts date"), **NAMES)
    assert made.events.select(F.unix_seconds("event_time")).first() == (1_717_200_000,)
    assert dict(made.ids.restore(made.events.select("user_id")).dtypes) == {"user_id": "int"}


def test_pandas_frames_are_taken_as_they_are(spark: SparkSession) -> None:
    times = pd.to_datetime(["2024-06-01", "2024-06-02"])
    made = Log.from_frame(
        pd.DataFrame({"customer": [1, 2], "sku": ["a", "b"], "ts": times, "stars": [4.0, None]}), **NAMES, value="stars"
    )
    rows = (
        made.events.orderBy("event_time")
        .select("user_id", "event_type", "value", F.unix_seconds("event_time"))
        .collect()
    )
    assert [tuple(row) for row in rows] == [("1", "rating", 4.0, 1_717_200_000), ("2", "rating", None, 1_717_286_400)]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_the_time_zone_of_the_driver_changes_no_log(spark: SparkSession, in_new_york: None, zone: str | None) -> None:
    """Frames of pandas, with and without a zone of their own, just before and after clocks changed in New York."""
    wall = pd.Series(pd.to_datetime(["2024-03-10 02:30:00", "2024-03-10 07:30:00"]))
    times = wall if zone is None else wall.dt.tz_localize("UTC").dt.tz_convert(zone)
    made = Log.from_frame(pd.DataFrame({"customer": [1, 1], "sku": ["a", "b"], "ts": times}), **NAMES)
    first, second = (part.events for part in made.split(datetime(2024, 3, 10, 7, 30)))
    assert first.select(F.unix_seconds("event_time")).collect() == [(1_710_037_800,)]
    assert second.select(F.unix_seconds("event_time")).collect() == [(1_710_055_800,)]
    assert made.as_of == datetime(2024, 3, 10, 7, 30, 0, 1, tzinfo=UTC)


def test_types_of_action_are_those_of_the_contract(spark: SparkSession) -> None:
    schema = "customer int, sku string, ts string, what string"
    made = Log.from_frame(frame(spark, [(1, "a", "2024-06-01", "purchase")], schema), **NAMES, event_type="what")
    assert made.events.select("event_type").first() == ("purchase",)
    with pytest.raises(
        DataError, match="column what holds types of action that are not known: buy; map them onto view"
    ):
        Log.from_frame(frame(spark, [(1, "a", "2024-06-01", "buy")], schema), **NAMES, event_type="what")


@pytest.mark.parametrize(
    ("rows", "schema", "says"),
    [
        ([], "customer int, sku string, ts string", "the frame has no row"),
        (
            [(None, "a", "2024-06-01")],
            "customer int, sku string, ts string",
            "column customer holds no value in 1 of 1 rows",
        ),
        ([(1, None, "2024-06-01")], "customer int, sku string, ts string", "column sku holds no value in 1 of 1"),
        (
            [(1, "a", "soon")],
            "customer int, sku string, ts string",
            "column ts holds no time that can be read in 1 of 1",
        ),
        (
            [(1, "a", 5)],
            "customer int, sku string, ts bigint",
            r"column ts is bigint, which is no time; make it one with timestamp_seconds\(ts\)",
        ),
        (
            [(1.5, "a", "2024-06-01")],
            "customer double, sku string, ts string",
            "column customer is double; an id is a text",
        ),
        ([(1, "a")], "customer int, sku string", "the frame has no column ts; it has customer, sku"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(
    spark: SparkSession, rows: list[tuple[Any, ...]], schema: str, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        Log.from_frame(frame(spark, rows, schema), **NAMES)


def test_a_thing_that_is_no_frame_is_named() -> None:
    with pytest.raises(DataError, match="expected a Spark or pandas DataFrame, found a list"):
        Log.from_frame([1, 2], **NAMES)  # type: ignore[arg-type]


def test_the_instant_of_a_split_is_the_future(log: Log) -> None:
    train, test = log.split(at="2024-06-01", horizon_days=7)
    assert [row["item_id"] for row in train.events.collect()] == ["a"]
    assert sorted(row["item_id"] for row in test.events.collect()) == ["a", "b"]
    assert train.as_of == datetime(2024, 6, 1, tzinfo=UTC) and test.as_of == datetime(2024, 6, 8, tzinfo=UTC)
    assert test.past == train


def test_a_split_without_a_horizon_goes_to_the_end(log: Log) -> None:
    assert log.split(at=date(2024, 6, 1))[1].events.count() == 3
    assert log.split(at=datetime(2024, 6, 2))[1].events.count() == 2


def test_what_was_touched_before_may_be_left_out(log: Log) -> None:
    _, test = log.split(at="2024-06-10", new_items_only=False)
    assert test.events.count() == 1
    with pytest.raises(DataError, match="no action lies within the horizon after 2024-06-10T00:00:00Z"):
        log.split(at="2024-06-10", new_items_only=True)


def test_a_split_outside_the_log_tells_its_span(log: Log) -> None:
    with pytest.raises(DataError, match="no action lies before 2020-01-01T00:00:00Z; the log runs from 2024-05-30"):
        log.split(at="2020-01-01")
    with pytest.raises(DataError, match="'soon' is not an instant"):
        log.split(at="soon")


def test_instants_with_an_offset_are_taken_to_utc() -> None:
    assert as_instant("2024-06-01T02:00:00+02:00") == datetime(2024, 6, 1, tzinfo=UTC)


def test_the_index_numbers_everybody(log: Log) -> None:
    made = log.indexed()
    assert made.user_index is not None and made.item_index is not None
    assert sorted(row["idx"] for row in made.user_index.collect()) == [1, 2]
    assert made.item_index.count() == 2


def test_profiles_and_catalog_take_the_callers_columns(spark: SparkSession) -> None:
    users = pd.DataFrame({"customer": [1], "segment": ["gold"]})
    items = frame(spark, [("a", True), ("b", False)], "sku string, available boolean")
    made = Log.from_frame(frame(spark, [(1, "a", "2024-06-01")]), **NAMES, users=users, items=items)
    assert made.users is not None and made.items is not None
    assert made.users.collect() == [("1", "gold")]
    assert sorted((row["item_id"], row["available"]) for row in made.items.collect()) == [("a", True), ("b", False)]
