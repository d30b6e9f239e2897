"""The union: one pass and joins agree, nothing seen or unavailable, everybody gets something."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from recsys.data import CANDIDATES
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.base import Model
from recsys.retrieval.blend import Blend
from recsys.retrieval.candidates import candidates
from recsys.retrieval.frames import Eligible
from recsys.retrieval.interactions import pairs
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.ordering import reordered
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.settings import CandidatesSettings
from tests.retrieval.shop import AS_OF, FUTURE, SIGNAL, Row, events_of, index, log_of, made_up, table
from tests.support.settled import settled, settled_audience, settled_log

pytestmark = pytest.mark.spark

RETRIEVERS = (
    Als(k=5, rank=4, iterations=3),
    ItemItem(k=5, weight=0.8, keep=10, recent_items=3),
    Popular(k=4, keep=20, min_segment_users=5),
)
WEIGHTS = {retriever.name: retriever.weight for retriever in RETRIEVERS}
SETTINGS = CandidatesSettings(k=8)
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
def models(spark: SparkSession, profiles: DataFrame, audience: Audience) -> list[Model[Any]]:
    log = settled_log(log_of(spark, ROWS, users=profiles))
    return [settled(retriever.fit(log, signal=SIGNAL), audience) for retriever in RETRIEVERS]


@pytest.fixture(scope="module")
def eligible(spark: SparkSession) -> Eligible:
    return Eligible(spark.createDataFrame([("i005",), ("i006",)], "item_id string"), listed=False)


def audience_of(spark: SparkSession, profiles: DataFrame, rows: list[Row]) -> Audience:
    events = events_of(spark, rows)
    item_index = index(spark, "item", sorted({row.item for row in ROWS}))
    return Audience(
        known_users(events, profiles, as_of=AS_OF),
        pairs(events, as_of=AS_OF, signal=SIGNAL, seen_types=["purchase"]),
        item_index,
    )


@pytest.fixture(scope="module")
def audience(spark: SparkSession, profiles: DataFrame) -> Audience:
    return settled_audience(audience_of(spark, profiles, ROWS))


def make(
    audience: Audience, models: list[Model[Any]], settings: CandidatesSettings = SETTINGS, **more: Any
) -> DataFrame:
    return candidates(audience, [replace(model, audience=audience) for model in models], settings, **more)


@pytest.fixture(scope="module")
def made(audience: Audience, models: list[Model[Any]], eligible: Eligible) -> list[Any]:
    return make(audience, models, eligible=eligible).collect()


def test_one_pass_and_joins_agree_to_the_last_bit(
    audience: Audience, models: list[Model[Any]], eligible: Eligible, made: list[Any]
) -> None:
    by_joins = make(audience, models, eligible=eligible, broadcast_limit_mb=0.0005)
    assert table(by_joins) == sorted((tuple(row) for row in made), key=repr)


def test_fitted_weights_give_the_same_order_in_every_way(
    audience: Audience, models: list[Model[Any]], eligible: Eligible
) -> None:
    """In one pass, by joins, and put upon candidates of the config's weights afterwards."""
    blend = Blend(10.0, {"als": 0.5, "neighbors": 0.0, "popular": 2.0}, {"als": 0.7, "neighbors": 1.0, "popular": 0.0})
    settings = SETTINGS.model_copy(update={"k": 99})
    one_pass = table(make(audience, models, settings, eligible=eligible, blend=blend))
    limit = {"broadcast_limit_mb": 0.0005}
    assert table(make(audience, models, settings, eligible=eligible, blend=blend, **limit)) == one_pass
    plain = make(audience, models, settings, eligible=eligible).localCheckpoint()
    assert table(plain) != one_pass
    kept = [name for name in plain.columns if name != "because_item_id"]
    again = reordered(plain, blend, lists=["user_id"]).select(*kept)
    assert table(again) == sorted((row[:-1] for row in one_pass), key=repr)


def test_the_future_changes_nothing(
    spark: SparkSession, profiles: DataFrame, models: list[Model[Any]], eligible: Eligible, made: list[Any]
) -> None:
    later = make(audience_of(spark, profiles, [*reversed(ROWS), *FUTURE]), models, eligible=eligible)
    assert table(later) == sorted((tuple(row) for row in made), key=repr)


def test_rows_hold_together(made: list[Any]) -> None:
    ranks: dict[str, list[int]] = {}
    bought = {(r.user, r.item) for r in ROWS if r.kind == "purchase"}
    for row in made:
        ranks.setdefault(row["user_id"], []).append(row["rank"])
        assert (row["user_id"], row["item_id"]) not in bought
        assert row["item_id"] not in ("i005", "i006")
        assert row["sources"] == sorted(row["ranks"]) == sorted(row["scores"])
        expected = sum(WEIGHTS[name] / (SETTINGS.rrf_k + row["ranks"][name]) for name in row["sources"])
        assert row["score"] == pytest.approx(expected, abs=1e-15)
        assert (row["because_item_id"] is not None) == ("neighbors" in row["sources"])
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in ranks.values())
    assert max(len(found) for found in ranks.values()) == SETTINGS.k
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


def test_without_als_and_with_seen_items_allowed(audience: Audience, models: list[Model[Any]]) -> None:
    bare, settings = models[1:], SETTINGS.model_copy(update={"exclude_seen": False})
    rows = make(audience, bare, settings).collect()
    by_joins = make(audience, bare, settings, broadcast_limit_mb=0.0005)
    assert sorted(map(tuple, rows), key=repr) == table(by_joins)
    assert {row["user_id"] for row in rows} >= {"sated", "newcomer"}
    assert not any("als" in row["sources"] for row in rows)


def test_two_of_a_kind_stand_side_by_side(
    audience: Audience, models: list[Model[Any]], eligible: Eligible, made: list[Any]
) -> None:
    """The same factors under a name that sorts first: the others keep their ranks and scores."""
    twin = replace(models[0], settings=Als(name="a_twin", k=5, weight=0.0))
    longer = SETTINGS.model_copy(update={"k": 99})
    both = make(audience, [twin, *models], longer, eligible=eligible).collect()
    by_joins = make(audience, [*models, twin], longer, eligible=eligible, broadcast_limit_mb=0.0005)
    assert sorted(map(tuple, both), key=repr) == table(by_joins)
    found = {(row["user_id"], row["item_id"]): row for row in both}
    for row in made:
        same = found[row["user_id"], row["item_id"]]
        assert same["score"] == row["score"] and same["because_item_id"] == row["because_item_id"]
        assert {name: rank for name, rank in same["ranks"].items() if name != "a_twin"} == row["ranks"]
        assert same["ranks"].get("a_twin") == same["ranks"].get("als")


def test_nothing_known_of_items_proposes_nothing(audience: Audience, models: list[Model[Any]]) -> None:
    empty = [
        replace(model, frames={name: frame.where("false") for name, frame in model.frames.items()}) for model in models
    ]
    assert make(audience, empty).isEmpty()


def test_known_users_windows_and_anonymous(spark: SparkSession) -> None:
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
    events, profiles = events_of(spark, rows + FUTURE), spark.createDataFrame(signed, PROFILES)
    everybody = known_users(events, profiles, as_of=AS_OF, include_anonymous=True)
    assert table(everybody) == [
        ("anon:s", None, "1-4"),
        ("fresh", None, "new"),
        ("late", None, "1-4"),
        ("old", "s", "1-4"),
        ("silent", None, "new"),
    ]
    lately = known_users(events, profiles, as_of=AS_OF, user_window_days=30)
    assert table(lately) == [("fresh", None, "new"), ("late", None, "1-4")]
