"""Reasons: every row has one, from evidence that is the user's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from recsys.rerank.reasons import with_reasons
from recsys.retrieval.als.retriever import Als, AlsModel
from recsys.retrieval.item_item.retriever import ItemItem, ItemItemModel
from recsys.retrieval.popular.retriever import Popular, PopularModel
from recsys.retrieval.reasons import VERBS

pytestmark = pytest.mark.spark

AS_OF = datetime(2020, 1, 10, tzinfo=UTC)
LISTS = "user_id string, item_id string, ranks map<string,int>, because_item_id string, user_segment string"


def explained(
    spark: SparkSession, lists: list[tuple[Any, ...]], events: list[tuple[str, str, str, float]]
) -> dict[str, Row]:
    log = spark.createDataFrame(
        [(u, i, kind, AS_OF + timedelta(days=day), u == "bot") for u, i, kind, day in events],
        "user_id string, item_id string, event_type string, event_time timestamp, is_bot boolean",
    )
    items = spark.createDataFrame(
        [("kettle", "Blue kettle"), ("blank", "  "), ("mug", "Red mug")], "item_id string, title string"
    )
    popular = spark.createDataFrame(
        [("", "a", 2.0), ("", "filler", 0.0), ("north", "b", 1.0)], "segment string, item_id string, score double"
    )
    found = with_reasons(
        spark.createDataFrame(lists, LISTS),
        events=log,
        items=items,
        models=[AlsModel(Als(), {}), ItemItemModel(ItemItem(), {}), PopularModel(Popular(), {"popular": popular})],
        as_of=AS_OF,
        rank_constant=10.0,
    ).collect()
    assert len(found) == len(lists)
    assert all(row["reason_code"] and row["reason"] for row in found)
    return {row["item_id"]: row for row in found}


def test_each_reason(spark: SparkSession) -> None:
    events = [
        ("u", "kettle", "view", -1),
        ("u", "kettle", "purchase", -2),
        ("u", "mug", "view", -1),
        ("u", "blank", "cart", -1),
        ("u", "untitled", "play", -1),
    ]
    lists = [
        ("u", "i1", {"neighbors": 1}, "kettle", "north"),
        ("u", "i2", {"neighbors": 2, "als": 9}, "mug", "north"),
        ("u", "i3", {"neighbors": 3}, "blank", "north"),
        ("u", "i4", {"neighbors": 4}, "untitled", "north"),
        ("u", "i5", {"neighbors": 30, "als": 1}, "kettle", "north"),
        ("u", "b", {"popular": 1}, None, "north"),
        ("u", "a", {"popular": 2}, None, None),
        ("u", "i6", {}, None, None),
    ]
    found = explained(spark, lists, events)
    assert {item: row["reason"] for item, row in found.items()} == {
        "i1": "Because you bought Blue kettle",
        "i2": "Because you viewed Red mug",
        "i3": "Because you put blank in your basket",
        "i4": "Because you played untitled",
        "i5": "People with similar taste chose this",
        "b": "Popular in north",
        "a": "Popular now",
        "i6": "Picked for you",
    }
    assert found["i1"]["reason_code"] == "because_bought"


def test_evidence_is_never_invented(spark: SparkSession) -> None:
    events = [
        ("other", "kettle", "purchase", -1),
        ("u", "mug", "purchase", 0),
        ("u", "blank", "other", -1),
        ("bot", "kettle", "view", -1),
    ]
    lists = [
        ("u", "i1", {"neighbors": 1}, "kettle", None),
        ("u", "i2", {"neighbors": 1}, "mug", None),
        ("u", "i3", {"neighbors": 1}, "blank", None),
        ("u", "a", {"popular": 1}, None, "north"),
        ("bot", "i4", {"neighbors": 1}, "kettle", None),
        ("u", "filler", {"popular": 3}, None, "north"),
    ]
    found = explained(spark, lists, events)
    assert {item: row["reason_code"] for item, row in found.items()} == {
        # Somebody else's purchase, one of the user's future, an event without a verb, a robot's.
        **dict.fromkeys(("i1", "i2", "i3", "i4"), "picked"),
        # Proposed by popularity, but not in the segment's own list.
        "a": "popular",
        # Of the catalog's tail, which nobody touched.
        "filler": "picked",
    }


def test_verbs_are_known_event_types() -> None:
    from recsys.data import EVENT_TYPES

    assert {kind for kind, _, _ in VERBS} <= set(EVENT_TYPES)
