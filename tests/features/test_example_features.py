"""Point-in-time features: against the oracle, with both ways of gathering history, and what must not change them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.features import daily
from recsys.features import history as example_history
from recsys.features.example_features import example_features
from recsys.features.pairs import candidate_pairs
from recsys.retrieval import registry
from tests.features import logs, oracle
from tests.features.logs import AS_OF, Row

pytestmark = pytest.mark.spark

RETRIEVED = registry.features(registry.defaults())

SCORES = [feature.column.name for feature in RETRIEVED if feature.of_pair]
PAIR = (
    "example_id string, user_id string, item_id string, list_id string, session_id string, session_step int, "
    "example_time timestamp, position int, price double, device string, country string, ranks map<string,int>, "
    "candidate_rank int, candidate_score double"
)
SCORED = ", ".join([PAIR, *(f"{name} double" for name in SCORES)])
NAMES = [column.split()[0] for column in SCORED.replace("map<string,int>", "m").split(", ")]


def catalog(seed: int) -> list[Row]:
    draw = random.Random(seed)
    states = []
    for number in range(6):
        for time in (datetime(1970, 1, 1, tzinfo=AS_OF.tzinfo), AS_OF - timedelta(days=draw.randrange(9)), AS_OF):
            price = draw.choice((None, round(draw.uniform(1, 9), 2)))
            category = draw.choice((None, "a", "b", "c"))
            added = draw.choice((None, AS_OF - timedelta(days=50)))
            states.append(logs.item(f"i{number}", time, category=category, price=price, brand=category, added_at=added))
    return logs.history(states, "item_id")


def profiles(seed: int) -> list[Row]:
    draw = random.Random(seed)
    states = []
    for number in range(4):
        for time in (AS_OF - timedelta(days=200), AS_OF - timedelta(days=draw.randrange(5))):
            year = draw.choice((None, 1980))
            states.append(logs.user(f"u{number}", time, segment=draw.choice("xy"), birth_year=year, country="DE"))
    return logs.history(states, "user_id")


def lists(seed: int, events: Sequence[Row], n: int = 25, *, at: datetime | None = None) -> list[Row]:
    """Lists shown at the very moment, session and step of logged events, or at one instant."""
    draw = random.Random(seed)
    recent = [e for e in events if AS_OF - timedelta(days=10) < e["event_time"] < AS_OF]
    rows = []
    for number in range(n):
        seed_event = draw.choice(recent)
        for position, item in enumerate(draw.sample(range(9), 4), start=1):
            ranks = draw.choice((None, {"als": 3, "popular": 1}))
            rows.append(
                {
                    "example_id": f"l{number}-{item}",
                    "user_id": draw.choice((seed_event["user_id"], "nobody")) if at else seed_event["user_id"],
                    "item_id": f"i{item}",
                    "list_id": f"l{number}",
                    "session_id": seed_event["session_id"],
                    "session_step": seed_event["session_step"],
                    "example_time": at or seed_event["event_time"],
                    "position": None if number % 5 == 0 else position,
                    "price": draw.choice((None, 5.0, round(draw.uniform(1, 9), 2))),
                    "device": "phone",
                    "country": None if number % 2 else "FR",
                    "ranks": ranks,
                    "candidate_rank": position if ranks else None,
                    "candidate_score": 1.0 / position if ranks else None,
                    **{name: draw.choice((None, 0.5)) for name in SCORES},
                }
            )
    if at:  # one user per list
        owners = {row["list_id"]: row["user_id"] for row in rows}
        rows = [{**row, "user_id": owners[row["list_id"]]} for row in rows]
    return rows


def pairs(spark: SparkSession, rows: Sequence[Row], partitions: int = 2) -> DataFrame:
    return spark.createDataFrame([tuple(r.get(name) for name in NAMES) for r in rows], SCORED).repartition(partitions)


def computed(
    spark: SparkSession, rows: Sequence[Row], events: Sequence[Row], seed: int, *, partitions: int = 2, **more: Any
) -> dict[str, Row]:
    log = logs.frame(spark, data.EVENTS, events, partitions)
    whole = [e for e in events if e["event_date"] < AS_OF.date()]
    days = logs.frame(spark, data.EVENTS, whole, partitions)
    found = example_features(
        pairs(spark, rows, partitions),
        events=log,
        user_daily=daily.daily_partials(days, entity="user"),
        item_daily=daily.daily_partials(days, entity="item"),
        items=logs.frame(spark, data.ITEMS, catalog(seed)),
        users=logs.frame(spark, data.USERS, profiles(seed)),
        history_length=4,
        retrieved=RETRIEVED,
        **more,
    ).collect()
    assert len(found) == len(rows)
    return {row["example_id"]: row.asDict() for row in found}


def same(found: Row, want: Row) -> None:
    got = {name: found[name] for name in want}
    assert got == {k: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for k, v in want.items()}


FEATURES = [column.name for column in data.example_columns([feature.column for feature in RETRIEVED])]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shown_lists_equal_the_oracle(spark: SparkSession, seed: int) -> None:
    events = logs.sessions(logs.events(seed, 300), seed)
    rows = lists(seed, events)
    found = computed(spark, rows, events, seed)
    for row in rows:
        full = [r for r in rows if r["list_id"] == row["list_id"]]
        want = oracle.features(row, full, events, catalog(seed), profiles(seed), 4)
        assert set(want) == set(FEATURES)
        same(found[row["example_id"]], want)


@pytest.mark.parametrize("seed", [4, 5])
def test_one_instant_equals_many(spark: SparkSession, seed: int) -> None:
    events = logs.sessions(logs.events(seed, 300), seed)
    rows = lists(seed, events, at=AS_OF)
    many = computed(spark, rows, events, seed)
    assert computed(spark, rows, events, seed, instant=AS_OF) == many
    same(many[rows[0]["example_id"]], oracle.features(rows[0], rows[:4], events, catalog(seed), profiles(seed), 4))


def test_same_bits_whatever_the_order_the_future_and_the_sample(spark: SparkSession) -> None:
    events = logs.sessions(logs.events(6, 300), 6)
    rows = lists(6, events)
    want = computed(spark, rows, events, 6, partitions=1)
    past = [e for e in events if e["event_time"] < AS_OF]
    assert computed(spark, rows[::-1], past[::-1], 6, partitions=7) == want
    part = rows[::3]
    sampled = computed(spark, part, events, 6, lists=pairs(spark, rows))
    assert sampled == {row["example_id"]: want[row["example_id"]] for row in part}


def test_the_event_itself_is_not_its_own_past(spark: SparkSession) -> None:
    def act(step: int | None, second: int, item: str, session: str = "s") -> Row:
        return logs.event(
            event_id=f"{session}{step}{item}",
            user_id="u0",
            item_id=item,
            event_time=AS_OF - timedelta(seconds=60 - second),
            session_id=session,
            session_step=step,
            event_type="click" if item == "i1" else "view",
        )

    # All but the first in the same second: only the steps show what came before the click at step 3.
    events = [act(1, 0, "i1"), act(2, 9, "i2"), act(3, 9, "i3"), act(4, 9, "i3"), act(1, 9, "i3", "other")]
    shown = [
        {
            **dict.fromkeys(NAMES),
            "example_id": f"i{n}",
            "user_id": "u0",
            "item_id": f"i{n}",
            "list_id": "l",
            "position": n,
        }
        for n in (1, 2, 3)
    ]
    moment = {"session_id": "s", "session_step": 3, "example_time": events[2]["event_time"]}
    found = computed(spark, [{**row, **moment} for row in shown], events, 1)
    assert [found[f"i{n}"]["user_item_events"] for n in (1, 2, 3)] == [1, 1, 0]
    assert [found[f"i{n}"]["is_last_item"] for n in (1, 2, 3)] == [0, 1, 0]
    assert [found[f"i{n}"]["last_item_distance"] for n in (1, 2, 3)] == [-1, 0, 1]
    assert found["i3"]["history"] == ["i2", "i1"] and found["i3"]["user_item_seconds"] is None
    of_list = {"session_seconds": 9, "session_idle_seconds": 0, "session_idle_steps": 1, "list_touched": 2}
    assert all({name: found[i][name] for name in of_list} == of_list for i in found)
    assert {found[i]["session_last_event"] for i in found} == {"view"}
    of_items = {
        "session_item_clicks": [1, 0, 0],
        "session_item_order": [1, 0, None],
        "is_last_click": [1, 0, 0],
        "touched_distance": [-1, 0, 1],
        "touched_nearest": [0, 0, 1],
    }
    assert {name: [found[f"i{n}"][name] for n in (1, 2, 3)] for name in of_items} == of_items
    # Without steps, time alone decides, and it has to be strictly earlier.
    found = computed(spark, [{**row, **moment, "session_step": None} for row in shown], events, 1)
    assert [found[f"i{n}"]["user_item_events"] for n in (1, 2, 3)] == [1, 0, 0]


@pytest.mark.parametrize("instant", [None, AS_OF])
def test_a_heavy_user_costs_a_bounded_history(spark: SparkSession, instant: datetime | None) -> None:
    """Only the newest events count, wherever the instant falls in the chunks of a long log."""
    kept = example_history.KEPT
    events = [
        logs.event(
            event_id=f"{n:05d}", user_id="u0", item_id=f"i{n % 3}", event_time=AS_OF - timedelta(minutes=7 * n + 1)
        )
        for n in range(3 * kept)
    ]
    times = [AS_OF] if instant else [AS_OF - timedelta(hours=h) for h in (0, 1, 15, 29, 30, 31, 48, 60, 65, 69, 70, 71)]
    rows = [
        {
            **dict.fromkeys(NAMES),
            "example_id": str(n),
            "list_id": str(n),
            "user_id": "u0",
            "item_id": "i1",
            "example_time": time,
        }
        for n, time in enumerate(times)
    ]
    found = computed(spark, rows, events, 1, instant=instant)
    for row in rows:
        want = oracle.features(row, [row], events, catalog(1), profiles(1), 4)
        same(found[row["example_id"]], want)
    assert 60 <= found["0"]["user_item_events"] <= kept / 3 + 1


def test_candidate_pairs_are_lists_of_their_users(spark: SparkSession) -> None:
    columns = (
        "as_of timestamp, user_id string, item_id string, rank int, score double, ranks map<string,int>, "
        "sources array<string>"
    )
    data = [(AS_OF, "u0", "i1", 1, 0.7, {"als": 2}, ["als"]), (AS_OF, "u1", "i1", 2, 0.5, {"popular": 1}, ["popular"])]
    found = candidate_pairs(spark.createDataFrame(data, columns), keep=("sources",))
    assert (
        found.drop("sources", "attributes").schema.simpleString()
        == spark.createDataFrame([], PAIR).schema.simpleString()
    )
    rows = found.orderBy("user_id").collect()
    assert len({r.example_id for r in rows}) == len({r.list_id for r in rows}) == 2
    assert all(r.example_time == AS_OF.replace(tzinfo=None) for r in rows)
    scored = computed(spark, [{**r.asDict(), "als_score": 0.5} for r in rows], [], 1, instant=AS_OF)
    assert scored[rows[0].example_id]["als_score"] == 0.5 and scored[rows[0].example_id]["als_rank"] == 2
    assert scored[rows[1].example_id]["als_rank"] is None and scored[rows[1].example_id]["history"] == []
