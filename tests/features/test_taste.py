"""Features of taste against the oracle, and what must not change them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.features.example_features import priced
from recsys.features.shown import ShownLists
from recsys.features.taste import taste_columns, taste_features
from tests.features import logs, taste_oracle
from tests.features.logs import AS_OF, Row
from tests.features.test_example_features import computed, lists, pairs, profiles, same

pytestmark = pytest.mark.spark

EFFECTS = {1: 1.0, 2: 0.7, 3: 0.4, 50: 0.05}


def goods(seed: int) -> list[Row]:
    """Two categories and none, prices that change; most items were there from the start."""
    draw = random.Random(seed)
    states = []
    for number in range(9):
        added = AS_OF - timedelta(days=draw.randrange(40)) if number == 8 else None
        for time in (datetime(1970, 1, 1, tzinfo=AS_OF.tzinfo), AS_OF - timedelta(days=draw.randrange(20))):
            category, brand = draw.choice(("a", "a", "b", None)), draw.choice(("x", "y", None))
            price = round(draw.uniform(1, 30), 2) if draw.random() < 0.9 else None
            states.append(logs.item(f"i{number}", time, category=category, brand=brand, price=price, added_at=added))
    return logs.history(states, "item_id")


def shown_lists(seed: int, *, n: int = 80, users: int = 5, items: int = 7) -> list[Row]:
    """Lists of the last weeks and of the day after `AS_OF`, some shown to robots, most without a label."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        shown_at = (AS_OF - timedelta(days=draw.uniform(-1, 30))).replace(microsecond=0)
        user, bot = f"u{draw.randrange(users)}", draw.random() < 0.1
        for position, item in enumerate(draw.sample(range(items), 4), start=draw.choice((1, 2, 49))):
            rows.append(
                logs.impression(
                    list_id=f"shown{number}",
                    user_id=user,
                    item_id=f"i{item}",
                    shown_at=shown_at,
                    position=position,
                    price=draw.choice((None, round(draw.uniform(1, 9), 2))),
                    label=draw.choice((None, None, 0.0, 1.0)),
                    is_bot=bot,
                )
            )
    return rows


def clicks(seed: int, impressions: Sequence[Row]) -> list[Row]:
    """Clicks on shown items: on the spot, on the next day, and by robots."""
    draw = random.Random(seed)
    rows = []
    for number, row in enumerate(impressions):
        if draw.random() < 0.4:
            rows.append(
                logs.event(
                    event_id=f"c{number:04d}",
                    user_id=row["user_id"],
                    item_id=row["item_id"],
                    event_type=draw.choice(("click", "click", "view")),
                    event_time=row["shown_at"] + timedelta(minutes=draw.choice((1, 1, 1500))),
                    list_id=row["list_id"],
                    is_bot=row["is_bot"] or draw.random() < 0.1,
                )
            )
    return rows


def checkpointed(frame: DataFrame) -> DataFrame:
    """Compute a frame at once, so that plans stay short."""
    return frame.localCheckpoint()


def evidence(spark: SparkSession, impressions: Sequence[Row], partitions: int = 2) -> ShownLists:
    effects = spark.createDataFrame(list(EFFECTS.items()), "position int, effect double")
    return ShownLists(
        logs.frame(spark, data.IMPRESSIONS, impressions, partitions),
        position_effects=effects,
        window_days=taste_oracle.WINDOW,
        half_life_days=taste_oracle.HALF_LIFE,
    )


def tasted(
    spark: SparkSession,
    rows: Sequence[Row],
    events: Sequence[Row],
    shown: ShownLists,
    seed: int,
    *,
    partitions: int = 2,
    items: Sequence[Row] | None = None,
    users: Sequence[Row] | None = None,
) -> dict[str, Row]:
    states = logs.frame(spark, data.ITEMS, goods(seed) if items is None else items)
    found = taste_features(
        priced(pairs(spark, rows, partitions), states),
        shown=shown,
        events=logs.frame(spark, data.EVENTS, events, partitions),
        items=states,
        users=logs.frame(spark, data.USERS, profiles(seed) if users is None else users),
        keep=checkpointed,
    ).collect()
    assert len(found) == len(rows)
    return {row["example_id"]: row.asDict() for row in found}


def world(seed: int) -> tuple[list[Row], list[Row], list[Row]]:
    impressions = shown_lists(seed)
    events = logs.sessions(logs.events(seed, 150), seed) + clicks(seed, impressions)
    return impressions, events, lists(seed, events, 12)


@pytest.mark.parametrize("seed", [1, 2])
def test_taste_equals_the_oracle(spark: SparkSession, seed: int) -> None:
    impressions, events, rows = world(seed)
    found = tasted(spark, rows, events, evidence(spark, impressions), seed)
    known = taste_oracle.Evidence(impressions, events, goods(seed), profiles(seed), EFFECTS)
    for row in rows:
        want = known.features(row)
        assert set(want) == set(taste_columns())
        same(found[row["example_id"]], want)
    constant = [name for name in taste_columns() if len({row[name] for row in found.values()}) < 2]
    assert not constant, "what is constant compares nothing"


def test_one_instant_equals_many(spark: SparkSession) -> None:
    impressions, events, _ = world(3)
    rows, shown = lists(3, events, 6, at=AS_OF), evidence(spark, impressions)
    many = computed(spark, rows, events, 3, shown=shown, keep=checkpointed)
    assert computed(spark, rows, events, 3, shown=shown, instant=AS_OF, keep=checkpointed) == many
    assert len({row["item_ctr"] for row in many.values()}) > 2


def test_nothing_of_the_day_of_the_example_or_later_counts(spark: SparkSession) -> None:
    impressions, events, _ = world(4)
    rows = lists(4, events, 6, at=AS_OF)
    midnight = datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=AS_OF.tzinfo)
    old = [row for row in impressions if row["shown_at"] < midnight]
    past = [event for event in events if event["event_time"] < midnight]
    want = tasted(spark, rows, past, evidence(spark, old), 4)
    planted = [
        logs.impression(list_id="new", user_id=user, item_id=item, shown_at=at, position=1, label=1.0)
        for user in ("u0", "u1")
        for item in ("i0", "i1", "i2")
        for at in (midnight, AS_OF, AS_OF + timedelta(days=1))
    ]
    later = [
        logs.event(event_id=f"n{n}", user_id="u0", item_id="i1", event_type="click", event_time=at, price=9.0)
        for n, at in enumerate((midnight, AS_OF, AS_OF + timedelta(days=1)))
    ]
    # A click in the day after its list was shown is none of the list's day.
    late = [
        logs.event(
            event_id=f"l{n}",
            user_id=row["user_id"],
            item_id=row["item_id"],
            event_type="click",
            event_time=AS_OF,
            list_id=row["list_id"],
        )
        for n, row in enumerate(old)
    ]
    states = [*goods(4), *(logs.item(f"i{n}", AS_OF, category="a", price=100.0, brand="z") for n in range(20, 30))]
    found = tasted(spark, rows, [*past, *later, *late], evidence(spark, [*old, *planted]), 4, items=states)
    assert found == want


def test_same_bits_whatever_the_order_and_the_sample(spark: SparkSession) -> None:
    impressions, events, rows = world(5)
    want = tasted(spark, rows, events, evidence(spark, impressions, 1), 5, partitions=1)
    assert tasted(spark, rows[::-1], events[::-1], evidence(spark, impressions[::-1], 5), 5, partitions=5) == want
    part = rows[::3]
    sampled = tasted(spark, part, events, evidence(spark, impressions), 5)
    assert sampled == {row["example_id"]: want[row["example_id"]] for row in part}


def test_without_lists_lifts_are_zero_and_rates_unknown(spark: SparkSession) -> None:
    _, events, rows = world(6)
    found = tasted(spark, rows, events, replace(evidence(spark, []), position_effects=None), 6)
    for row in found.values():
        assert row["item_ctr"] is None and row["item_shown"] == 0
        assert row["user_brand_lift"] in (0.0, None) and row["user_item_shown"] == 0
        assert row["user_item_shown_days"] is None
    assert any(row["user_price_level"] is not None for row in found.values())


def test_a_rate_by_hand(spark: SparkSession) -> None:
    """Two looks at position 1 and one click by u0, eight looks without one by u1: nothing to fit a strength on."""
    day = AS_OF - timedelta(days=1)

    def shown(number: int, user: str, item: str, label: float) -> Row:
        return logs.impression(list_id=f"s{number}", user_id=user, item_id=item, shown_at=day, position=1, label=label)

    impressions = [shown(0, "u0", "i0", 1.0), shown(1, "u0", "i0", 0.0)]
    impressions += [shown(n, "u1", "i1", 0.0) for n in range(2, 10)]
    row = {**lists(1, logs.events(1), 1, at=AS_OF)[0], "user_id": "u0", "item_id": "i0"}
    (found,) = tasted(spark, [row], [], evidence(spark, impressions), 1, users=[]).values()
    # One click in ten looks; the prior weighs as much as 20 looks.
    assert found["item_ctr"] == found["item_ctr_7d"] == pytest.approx((1 + 0.1 * 20) / (2 + 20))
    assert (found["item_shown"], found["user_item_shown"], found["user_item_skipped"]) == (2, 2, 1)
    assert found["user_item_shown_days"] == 1
