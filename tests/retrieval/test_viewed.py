"""Users who were only shown lists: known, with a past of what they clicked or saw; and who serves which tier."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.candidates import candidates
from recsys.retrieval.content.retriever import Content, ContentModel
from recsys.retrieval.interactions import pairs
from recsys.retrieval.popular.retriever import Popular, PopularModel
from recsys.retrieval.settings import CandidatesSettings
from recsys.retrieval.tiers import Tier
from recsys.retrieval.viewed import with_viewed
from tests.retrieval.shop import AS_OF, SIGNAL, Row, events_of, index, table

pytestmark = pytest.mark.fast

SHOWN = "user_id string, item_id string, shown_at timestamp, label double, is_bot boolean"
EVENTS = [
    *(Row("regular", name, "purchase", hours=float(h)) for h, name in enumerate("aabbc", 1)),
    Row("once", "b", hours=3.0),
    Row("robot", "a", bot=True),
]


def before(hours: float) -> datetime:
    return AS_OF - timedelta(hours=hours)


@pytest.fixture(scope="module")
def shown(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [
            ("clicker", "a", before(5), 0.0, False),
            ("clicker", "b", before(5), 1.0, False),
            ("clicker", "c", before(2), None, False),
            ("viewer", "c", before(9), None, False),
            ("viewer", "a", before(4), 0.0, False),
            ("viewer", "a", before(7), 0.0, False),
            ("viewer", "d", before(-1), 1.0, False),
            ("tomorrow", "a", before(0), 1.0, False),
            ("scraper", "a", before(3), 0.0, True),
            ("scraper", "b", before(6), 1.0, False),
            ("regular", "d", before(3), 1.0, True),
            ("anon:1", "a", before(3), 1.0, False),
        ],
        SHOWN,
    )


@pytest.fixture(scope="module")
def people(spark: SparkSession, shown: DataFrame) -> DataFrame:
    profiles = spark.createDataFrame([("clicker", "north"), ("silent", "north")], "user_id string, segment string")
    known = [("long ago", before(1)), ("regular", before(1)), ("robot", before(1)), ("of a later run", before(-1))]
    indexed = spark.createDataFrame(known, "user_id string, created_as_of timestamp")
    found = known_users(events_of(spark, EVENTS), profiles, as_of=AS_OF, shown=shown, indexed=indexed)
    return found.localCheckpoint()


@pytest.fixture(scope="module")
def audience(spark: SparkSession, people: DataFrame, shown: DataFrame) -> Audience:
    past = pairs(events_of(spark, EVENTS), as_of=AS_OF, signal=SIGNAL, seen_types=["purchase"])
    histories = with_viewed(past, people, shown, as_of=AS_OF).localCheckpoint()
    return Audience(people, histories, index(spark, "item", list("abcdef")).localCheckpoint())


def test_who_was_shown_something_is_known(people: DataFrame) -> None:
    """Robots are not: those of the log, and those of lists who did nothing else. Nothing later counts."""
    assert table(people) == [
        ("clicker", "north", "new"),
        ("long ago", None, "new"),
        ("once", None, "1-4"),
        ("regular", None, "5+"),
        ("silent", "north", "new"),
        ("viewer", None, "new"),
    ]


def test_shown_lists_count_for_the_window_of_users(spark: SparkSession, shown: DataFrame) -> None:
    """The index tells of nobody when that was; who has a flagged list and no event is a robot."""
    rows = [Row("old", "a", hours=24 * 40)]
    indexed = spark.createDataFrame([("long ago", before(1))], "user_id string, created_as_of timestamp")
    found = known_users(events_of(spark, rows), None, as_of=AS_OF, shown=shown, indexed=indexed, user_window_days=1)
    assert [row[0] for row in table(found)] == ["clicker", "viewer"]


def test_clicks_stand_for_the_past_else_what_was_shown(audience: Audience) -> None:
    """The viewer saw two items before the instant, one of them twice; whoever did something has no more than that."""
    names = ("clicker", "viewer", "once")
    found = audience.histories.where(audience.histories["user_id"].isin(*names))
    assert table(found.select("user_id", "item_id", "weight", "seen")) == [
        ("clicker", "b", 1.0, False),
        ("once", "b", 1.0, False),
        ("viewer", "a", 1.0, False),
        ("viewer", "c", 1.0, False),
    ]
    times = {(row["user_id"], row["item_id"]): row["last_time"] for row in found.collect()}
    assert times[("viewer", "a")].timestamp() == before(4).timestamp()


def proposed(
    spark: SparkSession, audience: Audience, limit: float, content: tuple[Tier, ...], popular: tuple[Tier, ...]
) -> dict[str, Any]:
    """The lists of two retrievers whose tables are given: item and sources, by user."""
    near = [("a", "e", 1.0), ("b", "f", 1.0), ("c", "e", 0.5), ("c", "d", 0.75)]
    similar = spark.createDataFrame(near, "item_id string, neighbor_id string, score double")
    ready = [("north", 1, "d", 9.0), ("", 1, "a", 5.0), ("", 2, "d", 4.0)]
    lists = spark.createDataFrame(ready, "segment string, rank int, item_id string, score double")
    models = [
        ContentModel(Content(fade=0.5, serves=content), {"similar": similar}, audience),
        PopularModel(Popular(serves=popular), {"popular": lists}, audience),
    ]
    found = candidates(audience, models, CandidatesSettings(k=9), broadcast_limit_mb=limit).collect()
    by_user: dict[str, Any] = {}
    for row in sorted(found, key=lambda row: (row["user_id"], row["rank"])):
        by_user.setdefault(row["user_id"], []).append((row["item_id"], "+".join(row["sources"])))
    return by_user


@pytest.mark.parametrize("limit", [256.0, 0.00001])
def test_a_ladder_serves_each_tier_as_declared(spark: SparkSession, audience: Audience, limit: float) -> None:
    """In one pass and by joins. What is near the viewer's past is e, then d, which is popular as well."""
    ladder = proposed(spark, audience, limit, content=("new", "5+"), popular=("1-4", "new"))
    assert ladder == {
        "clicker": [("f", "content"), ("d", "popular"), ("a", "popular")],
        "long ago": [("a", "popular"), ("d", "popular")],
        "once": [("a", "popular"), ("d", "popular")],
        "regular": [("e", "content"), ("f", "content"), ("d", "content")],
        "silent": [("d", "popular"), ("a", "popular")],
        "viewer": [("d", "content+popular"), ("e", "content"), ("a", "popular")],
    }
