"""`user_interests` against a brute-force version, and what must not count."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.features.interests import user_interests
from recsys.features.settings import InterestsSettings
from tests.features import logs
from tests.features.logs import AS_OF, event

pytestmark = pytest.mark.fast

WEIGHTS = {"view": 1.0, "purchase": 5.0, "cart": 0.0}
SETTINGS = InterestsSettings(window_days=40, half_life_days=10, k=2, separator=", ")
ITEMS: dict[str, dict[str, Any]] = {
    "i1": {"category": "toys", "brand": "b1", "attributes": {"tags": "red, small"}},
    "i2": {"category": "toys", "brand": None, "attributes": {"tags": "red, red,  "}},
    "i3": {"category": "books", "brand": "b2", "attributes": None},
    "i4": {"category": "games", "brand": "b1", "attributes": {"other": "x"}},
}


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def rows() -> list[dict[str, Any]]:
    touches = [
        *(("u1", "i1", "view", 0.5), ("u1", "i1", "purchase", 10.0), ("u1", "i2", "view", 20.0)),
        *(
            ("u1", "i3", "view", 30.0),
            ("u1", "i4", "view", 1.0),
            ("u2", "i3", "view", 3.0),
            ("u2", "nobody", "view", 1),
        ),
        *(("u2", "i1", "cart", 1.0), ("u2", "i1", "rating", 1.0)),
        *(("u3", "i4", "view", 41.0), ("u3", "i4", "view", 0.0)),
    ]
    found = [
        event(event_id=f"e{n}", user_id=user, item_id=item, event_type=kind, event_time=ago(days))
        for n, (user, item, kind, days) in enumerate(touches)
    ]
    return [*found, event(event_id="bot", user_id="u4", item_id="i1", event_time=ago(1), is_bot=True)]


def tags_of(item: dict[str, Any]) -> set[tuple[str, str]]:
    words = {word.strip() for word in (item["attributes"] or {}).get("tags", "").split(", ")}
    pairs = {("category", item["category"]), ("brand", item["brand"]), *(("tag", word) for word in words)}
    return {(kind, tag) for kind, tag in pairs if tag}


def by_hand() -> dict[tuple[str, str, str], tuple[float, int]]:
    """Weight and rank by user, kind and tag, in floating point; an event at the instant itself is the future."""
    tf: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    touched = set()
    for row in rows():
        days = (AS_OF - row["event_time"]) / timedelta(days=1)
        weight = WEIGHTS.get(row["event_type"], 0.0)
        if row["is_bot"] or not 0 < days <= 40 or not weight:
            continue
        touched.add(row["user_id"])
        for kind, tag in tags_of(ITEMS[row["item_id"]]) if row["item_id"] in ITEMS else ():
            tf[row["user_id"], kind][tag] += weight * 2 ** (-days / 10)
    found = {}
    for (user, kind), tags in tf.items():
        df = {tag: sum(tag in other for (_, k), other in tf.items() if k == kind) for tag in tags}
        scores = {tag: n * (math.log((len(touched) + 1) / (df[tag] + 1)) + 1) for tag, n in tags.items()}
        order = sorted(scores, key=lambda tag: (-scores[tag], tag))
        for rank, tag in enumerate(order[:2], start=1):
            found[user, kind, tag] = (scores[tag] / sum(scores.values()), rank)
    return found


def test_against_brute_force(spark: SparkSession) -> None:
    catalog = [{**dict.fromkeys(data.ITEMS.column_names), "item_id": id_, **item} for id_, item in ITEMS.items()]
    schema = "item_id string, category string, brand string, attributes map<string,string>"
    columns = ("item_id", "category", "brand", "attributes")
    items = spark.createDataFrame([tuple(row[name] for name in columns) for row in catalog], schema)
    made = user_interests(
        events=logs.frame(spark, data.EVENTS, rows()), items=items, as_of=AS_OF, weights=WEIGHTS, settings=SETTINGS
    )
    assert made.columns == data.USER_INTERESTS.column_names
    found = {(row["user_id"], row["kind"], row["tag"]): (row["weight"], row["rank"]) for row in made.collect()}
    expected = by_hand()
    assert {key: rank for key, (_, rank) in found.items()} == {key: rank for key, (_, rank) in expected.items()}
    assert {key: weight for key, (weight, _) in found.items()} == pytest.approx(
        {key: weight for key, (weight, _) in expected.items()}, rel=1e-5
    )
    assert ("u1", "category", "books") not in found, "the third category is beyond k"
    assert found["u2", "brand", "b2"] == (1.0, 1)
