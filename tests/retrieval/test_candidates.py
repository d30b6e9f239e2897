"""The union: one pass and joins agree, nothing seen or unavailable, everybody gets something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.retrieval.als import AlsRetriever
from recsys.retrieval.candidates import Sources, candidates
from recsys.retrieval.neighbors import NeighborsRetriever
from recsys.retrieval.popular import PopularRetriever
from recsys.retrieval.propose import Asked
from recsys.retrieval.users import population
from recsys.tables import CANDIDATES
from recsys.transforms.interactions import pairs
from tests.retrieval.shop import AS_OF, FUTURE, WEIGHTS, Row, frames, log, made_up, table

pytestmark = pytest.mark.spark

ASKED = Asked(
    k=8, als_k=5, neighbors_k=5, popular_k=4, recent_items=3, weights={"als": 1.0, "neighbors": 0.8, "popular": 0.1}
)
ITEMS = [f"i{i:03d}" for i in range(30)]
PROFILES = "user_id string, segment string, signed_up_at timestamp"
ROWS = [
    *made_up(),
    *(Row("glutton", name, "purchase", hours=float(h)) for h, name in enumerate(ITEMS[:-1], 1)),
    *(Row("sated", name, "purchase", hours=float(h)) for h, name in enumerate(ITEMS, 1)),
    Row("robot", "i000", bot=True),
    Row("robot", "i001"),
    Row("anon:s1", "i003"),
    Row("once", "i004", "purchase"),
]


@pytest.fixture(scope="module")
def profiles(spark: SparkSession) -> DataFrame:
    rows = [(f"u{u:03d}", "ab"[u % 2], None) for u in range(30)]
    return spark.createDataFrame(
        [*rows, ("newcomer", "a", AS_OF), ("stranger", "unheard of", None), ("robot", "a", None)], PROFILES
    )


@pytest.fixture(scope="module")
def sources(spark: SparkSession, profiles: DataFrame) -> Sources:
    given = frames(spark, ROWS, users=profiles)
    als = AlsRetriever(rank=4, iterations=3).fit(given)
    neighbors = NeighborsRetriever(k=10).fit(given).neighbors.localCheckpoint()
    popular = PopularRetriever(k=20, min_segment_users=5, weights=WEIGHTS).fit(given).popular.localCheckpoint()
    return Sources(
        neighbors=neighbors,
        popular=popular,
        item_index=given.need("item_index"),
        user_factors=als.user_factors.localCheckpoint(),
        item_factors=als.item_factors.localCheckpoint(),
        unavailable=spark.createDataFrame([("i005",), ("i006",)], "item_id string"),
    )


def make(
    spark: SparkSession, profiles: DataFrame, sources: Sources, rows: list[Row], asked: Asked = ASKED, **limits: Any
) -> DataFrame:
    events = log(spark, rows)
    people = population(events, profiles, as_of=AS_OF)
    past = pairs(events, as_of=AS_OF, weights=WEIGHTS, seen_types=["purchase"])
    return candidates(people, past, sources, asked, **limits)


@pytest.fixture(scope="module")
def made(spark: SparkSession, profiles: DataFrame, sources: Sources) -> list[Any]:
    return make(spark, profiles, sources, ROWS).collect()


def test_one_pass_and_joins_agree_to_the_last_bit(
    spark: SparkSession, profiles: DataFrame, sources: Sources, made: list[Any]
) -> None:
    by_joins = make(spark, profiles, sources, ROWS, broadcast_limit_mb=0.0005)
    assert table(by_joins) == sorted((tuple(row) for row in made), key=repr)


def test_the_future_changes_nothing(
    spark: SparkSession, profiles: DataFrame, sources: Sources, made: list[Any]
) -> None:
    later = make(spark, profiles, sources, [*reversed(ROWS), *FUTURE])
    assert table(later) == sorted((tuple(row) for row in made), key=repr)


def test_rows_hold_together(made: list[Any]) -> None:
    ranks: dict[str, list[int]] = {}
    bought = {(r.user, r.item) for r in ROWS if r.kind == "purchase"}
    for row in made:
        ranks.setdefault(row["user_id"], []).append(row["rank"])
        assert (row["user_id"], row["item_id"]) not in bought
        assert row["item_id"] not in ("i005", "i006")
        assert row["sources"] == sorted(row["ranks"]) == sorted(row["scores"])
        weights = ASKED.weights
        expected = sum(weights[name] / (ASKED.rrf_k + row["ranks"][name]) for name in row["sources"])
        assert row["score"] == pytest.approx(expected, abs=1e-15)
        assert (row["because_item_id"] is not None) == ("neighbors" in row["sources"])
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in ranks.values())
    assert max(len(found) for found in ranks.values()) == ASKED.k
    assert {name for row in made for name in row["sources"]} == {"als", "neighbors", "popular"}


def test_who_gets_candidates(made: list[Any]) -> None:
    of = {}  # type: dict[str, list[str]]
    for row in made:
        of.setdefault(row["user_id"], []).append(row["item_id"])
    assert {"newcomer", "stranger", "once"} <= set(of), "new users and users without factors"
    assert of["glutton"] == ["i029"], "who has seen nearly everything gets what is left"
    assert "sated" not in of and "robot" not in of and "anon:s1" not in of
    assert len(of) == 40 + 4


def test_columns_are_the_tables(made: list[Any]) -> None:
    assert [*made[0].asDict()] == [c for c in CANDIDATES.column_names if c not in ("run_date", "as_of")]


def test_without_als_and_with_seen_items_allowed(spark: SparkSession, profiles: DataFrame, sources: Sources) -> None:
    bare = replace(sources, user_factors=None, item_factors=None, unavailable=None)
    asked = replace(ASKED, exclude_seen=False)
    one_pass = make(spark, profiles, bare, ROWS, asked)
    assert table(one_pass) == table(make(spark, profiles, bare, ROWS, asked, broadcast_limit_mb=0.0005))
    rows = one_pass.collect()
    assert {row["user_id"] for row in rows} >= {"sated", "newcomer"}
    assert not any("als" in row["sources"] for row in rows)


def test_nothing_known_of_items_proposes_nothing(spark: SparkSession, profiles: DataFrame, sources: Sources) -> None:
    empty = Sources(sources.neighbors.where("false"), sources.popular.where("false"), sources.item_index)
    assert make(spark, profiles, empty, ROWS).count() == 0


def test_population_windows_and_anonymous(spark: SparkSession) -> None:
    rows = [
        Row("old", "a", hours=24 * 40),
        Row("late", "a"),
        Row("anon:s", "a"),
        Row("robot", "a"),
        Row("robot", "a", bot=True),
    ]
    signed = [
        ("old", "s", AS_OF - timedelta(days=99)),
        ("fresh", None, AS_OF - timedelta(days=1)),
        ("silent", None, None),
    ]
    events, profiles = log(spark, rows + FUTURE), spark.createDataFrame(signed, PROFILES)
    everybody = population(events, profiles, as_of=AS_OF, include_anonymous=True)
    assert table(everybody) == [("anon:s", None), ("fresh", None), ("late", None), ("old", "s"), ("silent", None)]
    lately = population(events, profiles, as_of=AS_OF, user_window_days=30)
    assert table(lately) == [("fresh", None), ("late", None)]
