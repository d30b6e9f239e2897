"""Features of any user and item against brute force; one pass and joins agree; nothing of the future gets in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys.data.log import Log
from recsys.errors import DataError
from recsys.retrieval.als.retriever import Als
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model
from recsys.retrieval.hybrid import Hybrid, HybridModel
from recsys.retrieval.item_item.retriever import ItemItem
from recsys.retrieval.pair_features import with_pair_features
from recsys.retrieval.popular.retriever import Popular
from recsys.retrieval.vectors.affinity import RECENT
from tests.retrieval.shop import FUTURE, SIGNAL, WEIGHTS, Row, log_of, made_up
from tests.support.settled import settled, settled_audience, settled_hybrid, settled_log

pytestmark = pytest.mark.spark

ALS = Als(rank=4, iterations=3, min_item_events=3, min_user_events=2)
NEAR = ItemItem(keep=6, recent_items=4)
LISTS = Popular(keep=12, min_segment_users=5)
TINY_MB = 1e-6
ITEMS = [f"i{i:03d}" for i in range(30)]
ROWS = [
    *made_up(24, 30, per_user=13),
    Row("rare", "only here", "purchase"),
    Row("rare", "i001", "view", 2.0),
    Row("once", "only here", "view", 3.0),
    # Seen, without a weight: neither of these is a past.
    Row("u001", "i028", "click", 0.5),
    Row("glanced", "i000", "click"),
    Row("robot", "i000", bot=True),
    Row("anon:s1", "i003"),
    Row("anon:s1", "i005", "purchase", 5.0),
]
USERS = [*(f"u{u:03d}" for u in range(24)), "rare", "once", "glanced", "anon:s1", "newcomer", "nobody knows me"]
PAIRS = [(user, item) for user in USERS for item in [*ITEMS, "only here", "planted", "unheard of"]]
COLUMNS = ["als_score", "als_cosine", "als_recent", "neighbors_score", "neighbors_best", "popular_score"]

Found = dict[tuple[str, str], dict[str, float | None]]


@dataclass(frozen=True)
class Fitted:
    """Models of a log, what they have learned, and who they are asked about."""

    models: list[Model[Any]]
    audience: Audience
    frames: dict[str, list[Any]]


def profiles(spark: SparkSession) -> DataFrame:
    rows = [(f"u{u:03d}", "ab"[u % 2]) for u in range(20)]
    return spark.createDataFrame([*rows, ("newcomer", "a"), ("rare", "unheard of")], "user_id string, segment string")


def fit(spark: SparkSession, rows: list[Row]) -> Fitted:
    """Fit on some rows. The integers of ids are the same for all: an index never changes."""
    index = log_of(spark, [*ROWS, *FUTURE])
    log = log_of(spark, rows, users=profiles(spark))
    log = settled_log(replace(log, item_index=index.item_index, user_index=index.user_index))
    audience = settled_audience(Audience.of(log, signal=SIGNAL))
    models = [settled(retriever.fit(log, signal=SIGNAL), audience) for retriever in (ALS, NEAR, LISTS)]
    frames = {name: frame.collect() for model in models for name, frame in model.frames.items()}
    return Fitted(models, audience, frames)


@pytest.fixture(scope="module")
def fitted(spark: SparkSession) -> Fitted:
    return fit(spark, ROWS)


def pairs_of(spark: SparkSession, rows: list[Any] = PAIRS) -> DataFrame:
    return spark.createDataFrame(rows, "user_id string, item_id string")


def by_pair(frame: DataFrame) -> Found:
    return {(row["user_id"], row["item_id"]): {name: row[name] for name in COLUMNS} for row in frame.collect()}


@pytest.fixture(scope="module")
def found(spark: SparkSession, fitted: Fitted) -> Found:
    return by_pair(with_pair_features(pairs_of(spark), fitted.models, fitted.audience))


# -- brute force


def past_of(user: str) -> list[tuple[str, float]]:
    """A user's items and their weights, the latest first."""
    weight: dict[str, float] = defaultdict(float)
    hours: dict[str, float] = {}
    for row in ROWS:
        if row.user == user and row.kind in WEIGHTS and not row.bot:
            weight[row.item] += WEIGHTS[row.kind]
            hours[row.item] = min(row.hours, hours.get(row.item, math.inf))
    return [(item, weight[item]) for item in sorted(weight, key=lambda item: (hours[item], item))]


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def cosine(one: list[float], other: list[float]) -> float:
    return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))


def als_oracle(frames: dict[str, list[Any]]) -> Iterator[tuple[str, str, dict[str, float | None]]]:
    users = {row["user_id"]: row["factors"] for row in frames["user_factors"]}
    items = {row["item_id"]: row["factors"] for row in frames["item_factors"]}
    for user, item in PAIRS:
        values: dict[str, float | None] = dict.fromkeys(["als_score", "als_cosine", "als_recent"])
        recent = [items[name] for name, _ in past_of(user) if name in items][:RECENT]
        if item in items and user in users:
            values["als_score"] = dot(users[user], items[item])
            values["als_cosine"] = cosine(users[user], items[item])
        if item in items and recent:
            mean = [math.fsum(column) / len(recent) for column in zip(*recent, strict=True)]
            values["als_recent"] = cosine(mean, items[item])
        yield user, item, values


def neighbors_oracle(frames: dict[str, list[Any]]) -> Iterator[tuple[str, str, dict[str, float | None]]]:
    near = {(row["item_id"], row["neighbor_id"]): row["score"] for row in frames["neighbors"]}
    for user, item in PAIRS:
        recent = past_of(user)[: NEAR.recent_items]
        largest = max((weight for _, weight in recent), default=1.0)
        parts = [weight / largest * near.get((name, item), 0.0) for name, weight in recent]
        yield (
            user,
            item,
            {
                "neighbors_score": math.fsum(parts) if recent else None,
                "neighbors_best": max(parts) if recent else None,
            },
        )


def popular_oracle(frames: dict[str, list[Any]]) -> Iterator[tuple[str, str, dict[str, float | None]]]:
    lists: dict[str, dict[str, float]] = defaultdict(dict)
    for row in frames["popular"]:
        lists[row["segment"]][row["item_id"]] = row["score"]
    segments = {f"u{u:03d}": "ab"[u % 2] for u in range(20)} | {"newcomer": "a"}
    for user, item in PAIRS:
        mine = {**lists[""], **lists.get(segments.get(user, ""), {})}
        yield user, item, {"popular_score": mine.get(item, 0.0)}


@pytest.mark.parametrize("oracle", [als_oracle, neighbors_oracle, popular_oracle])
def test_against_brute_force(found: Found, fitted: Fitted, oracle: Any) -> None:
    for user, item, expected in oracle(fitted.frames):
        for name, value in expected.items():
            mine = found[user, item][name]
            assert (mine is None) == (value is None), (name, user, item)
            assert mine is None or mine == pytest.approx(value, rel=1e-12, abs=1e-12), (name, user, item)


def test_the_shop_has_every_case(found: Found) -> None:
    """Or else the comparisons above would say little."""

    def some(name: str) -> dict[str, bool]:
        values = [row[name] for row in found.values()]
        return {"null": None in values, "zero": 0.0 in values, "more": any(values)}

    assert some("als_score") == some("als_cosine") == {"null": True, "zero": False, "more": True}
    assert some("neighbors_score") == some("neighbors_best") == {"null": True, "zero": True, "more": True}
    assert some("popular_score") == {"null": False, "zero": True, "more": True}
    assert any(row["neighbors_score"] != row["neighbors_best"] for row in found.values())
    assert len(past_of("u001")) > RECENT, "who has more items than the centroid takes"


# -- ways to the same figures


def test_one_pass_and_joins_agree_to_the_last_bit(spark: SparkSession, fitted: Fitted, found: Found) -> None:
    joined = with_pair_features(pairs_of(spark), fitted.models, fitted.audience, broadcast_limit_mb=TINY_MB)
    assert joined.columns == ["user_id", "item_id", *COLUMNS]
    assert by_pair(joined) == found


def test_the_future_changes_nothing(spark: SparkSession, found: Found) -> None:
    """With all that is learned and all that users did read off a log that goes on."""
    later = fit(spark, [*reversed(ROWS), *FUTURE])
    assert by_pair(with_pair_features(pairs_of(spark), later.models, later.audience)) == found
    planted = found["u000", "planted"]
    assert planted["als_score"] is None and planted["neighbors_score"] == planted["popular_score"] == 0.0


# -- the rows


def test_rows_come_back_as_they_are(spark: SparkSession, fitted: Fitted, found: Found) -> None:
    rows = [
        (1, "u001", "i002", {"als": 3}, 7.0),
        (2, "u001", "i002", None, 8.0),
        (3, None, "i002", None, 9.0),
        (4, "u001", None, None, 9.0),
    ]
    pairs = spark.createDataFrame(
        rows, "`a.row` int, user_id string, item_id string, ranks map<string,int>, als_score double"
    )
    for limit in (100.0, TINY_MB):
        made = with_pair_features(pairs, fitted.models, fitted.audience, broadcast_limit_mb=limit)
        assert sorted(made.columns) == sorted(["a.row", "user_id", "item_id", "ranks", *COLUMNS])
        back = sorted(made.collect(), key=lambda row: row["a.row"])
        assert [(row["a.row"], row["user_id"], row["item_id"], row["ranks"]) for row in back] == [r[:4] for r in rows]
        values = [[row[name] for name in COLUMNS] for row in back]
        assert values[0] == values[1] == [found["u001", "i002"][name] for name in COLUMNS]
        assert values[2] == values[3] == [None] * len(COLUMNS)


def test_without_models_or_features_the_pairs_come_back(spark: SparkSession, fitted: Fitted) -> None:
    class Silent(Popular):
        """Offers a rank alone."""

        features = Popular.features[:1]

    silent = replace(fitted.models[2], settings=Silent())
    pairs = pairs_of(spark, PAIRS[:3])
    assert with_pair_features(pairs, [silent], fitted.audience).columns == ["user_id", "item_id"]
    assert silent.score(pairs).columns == ["user_id", "item_id"]


def test_a_kernel_has_to_keep_what_its_retriever_declares(
    spark: SparkSession, fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(fitted.models[2]), "kernel", lambda self, catalog, tables: object())
    with pytest.raises(TypeError, match="popular declares pair features, but object has no method score"):
        with_pair_features(pairs_of(spark), fitted.models[2:], fitted.audience)


# -- the library


@pytest.fixture(scope="module")
def plain(spark: SparkSession) -> Log:
    """A caller's own frame: numbers for users and items."""
    rows = made_up(20, 15, per_user=6)
    times = pd.Timestamp("2024-03-01", tz="UTC") - pd.to_timedelta([row.hours for row in rows], unit="h")
    users, items = ([int(name[1:]) for name in names] for names in ([r.user for r in rows], [r.item for r in rows]))
    return Log.from_frame(
        spark.createDataFrame(pd.DataFrame({"customer": users, "sku": items, "ts": times})),
        user="customer",
        item="sku",
        time="ts",
    )


@pytest.fixture(scope="module")
def hybrid(plain: Log) -> HybridModel:
    return settled_hybrid(Hybrid([ALS, NEAR, LISTS]).fit(plain))


def test_a_fitted_model_scores_a_callers_pairs(spark: SparkSession, hybrid: HybridModel) -> None:
    model = hybrid.models[1]
    asked = pd.DataFrame({"sku": [3, 3, 999], "customer": [7, 8, 7], "note": ["x", "y", "z"]})
    made = model.score(asked)
    assert [(field.name, field.dataType.simpleString()) for field in made.schema] == [
        ("item_id", "bigint"),
        ("user_id", "bigint"),
        ("note", "string"),
        ("neighbors_score", "double"),
        ("neighbors_best", "double"),
    ]
    rows = {row["note"]: row for row in made.collect()}
    assert (rows["y"]["user_id"], rows["y"]["item_id"]) == (8, 3)
    assert rows["z"]["neighbors_score"] == 0.0
    lists = model.recommend([7], k=30, exclude_seen=False).where("item_id = 3").collect()
    assert rows["x"]["neighbors_score"] == (lists[0]["score"] if lists else 0.0)
    again = model.score(spark.createDataFrame(asked.rename(columns={"customer": "user_id"})))
    assert {row["note"]: row["neighbors_score"] for row in again.collect()} == {
        note: row["neighbors_score"] for note, row in rows.items()
    }
    with pytest.raises(DataError, match="has no column item_id"):
        model.score(asked.drop(columns="sku"))


def test_a_hybrid_scores_with_all_of_its_models(hybrid: HybridModel) -> None:
    asked = pd.DataFrame({"customer": [1, 2, 999], "sku": [4, 5, 0]})
    made = {row["user_id"]: row for row in hybrid.score(asked).collect()}
    assert list(made[1].asDict()) == ["user_id", "item_id", *COLUMNS]
    for one in hybrid.models:
        for row in one.score(asked).collect():
            assert made[row["user_id"]].asDict() | row.asDict() == made[row["user_id"]].asDict()
    assert made[999]["als_score"] is None and made[999]["popular_score"] > 0


def test_what_is_seen_is_scored_all_the_same(hybrid: HybridModel, plain: Log) -> None:
    seen = plain.events.select("user_id", "item_id").distinct()
    made = hybrid.models[0].score(seen)
    assert made.count() == seen.count() and made.where(F.col("als_score").isNotNull()).count() > 0
