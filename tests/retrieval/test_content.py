"""Items that the catalog describes alike: an oracle without hashing or sparse matrices, and what users get of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from math import floor, log, log2, sqrt
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import recsys
from recsys.data.callers import Ids
from recsys.data.catalogs import described
from recsys.errors import ConfigError, NothingToDo
from recsys.retrieval.content.blocks import Scheme
from recsys.retrieval.content.retriever import Content, ContentModel
from tests.retrieval.shop import AS_OF, SIGNAL, Row, log_of, table

CATALOG = "item_id string, available boolean, added_at timestamp, title string, category string, brand string, " + (
    "price double, currency string, attributes map<string,string>"
)
OLD = AS_OF - timedelta(days=9)
ITEMS: list[tuple[Any, ...]] = [
    (
        "red",
        True,
        OLD,
        "Red running shoe",
        "Sport / Shoes",
        "Fleet",
        60.0,
        "EUR",
        {"genres": "run|shoe", "look": "1 0"},
    ),
    (
        "blue",
        True,
        OLD,
        "Blue running shoes",
        "Sport/Shoes",
        "Fleet",
        70.0,
        "EUR",
        {"genres": "run", "look": "[.6,.8]"},
    ),
    ("ball", True, None, "Ball", "Sport/Balls", "Round", 20.0, "EUR", {"genres": "ball|run", "look": "0, 1"}),
    ("lamp", True, OLD, "Reading lamp", "Home", None, None, None, {"genres": "light"}),
    ("desk", True, OLD, None, "Home", "", 200.0, "EUR", None),
    ("gone", False, OLD, "Red running shoe", "Sport/Shoes", "Fleet", 60.0, "EUR", {"genres": "run|shoe"}),
    ("late", True, AS_OF, "Red running shoe", "Sport/Shoes", "Fleet", 60.0, "EUR", {"genres": "run|shoe"}),
    ("bare", True, OLD, " ", None, None, None, None, {}),
]
WEIGHTS = {"category": 1.0, "brand": 0.5, "title": 0.8, "price": 0.25, "tags": 0.7, "vectors": 0.4}
SETTINGS: dict[str, Any] = {**WEIGHTS, "tags": {"genres": WEIGHTS["tags"]}, "vectors": {"look": WEIGHTS["vectors"]}}


# -- the oracle: dictionaries, one item at a time


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def grams(text: str) -> list[str]:
    padded = f" {' '.join(words(text))} "
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def levels(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split("/")]
    return ["/".join(names[:n]) for n in range(1, len(names) + 1)]


def bands(price: float) -> dict[str, float]:
    place = 2 * log2(price)
    low = floor(place)
    return {str(low): 1 - (place - low), str(low + 1): place - low}


def numbers(text: str) -> dict[str, float]:
    return {str(at): float(value) for at, value in enumerate(re.findall(r"[.\d]+", text))}


def parts_of(item: tuple[Any, ...]) -> list[tuple[float, bool, dict[str, float]]]:
    """Weight, whether IDF counts, and the features of each part."""
    _, _, _, title, category, brand, price, _, attributes = item
    tags, look = (attributes or {}).get("genres"), (attributes or {}).get("look")

    def bag(value: Any, read: Callable[[Any], Any]) -> dict[str, float]:
        return {} if value in (None, "") else dict(Counter(read(value)))

    return [
        (WEIGHTS["category"], True, bag(category, levels)),
        (WEIGHTS["brand"], False, bag(brand, lambda name: [name.lower()])),
        (WEIGHTS["price"], False, {} if price is None else bands(price)),
        (WEIGHTS["title"] / 2, True, bag(title, words)),
        (WEIGHTS["title"] / 2, True, bag(title, lambda text: grams(text) if words(text) else [])),
        (WEIGHTS["tags"], True, bag(tags, lambda text: text.split("|"))),
        (WEIGHTS["vectors"], False, {} if look is None else numbers(look)),
    ]


def oracle(items: list[tuple[Any, ...]]) -> dict[tuple[str, str], float]:
    """Cosine of every pair of two items of which the second is available."""
    holders: Counter[tuple[int, str]] = Counter()
    for item in items:
        holders.update((number, name) for number, (_, _, bag) in enumerate(parts_of(item)) for name in bag)
    vectors = []
    for item in items:
        vector: dict[tuple[int, str], float] = {}
        for number, (weight, idf, bag) in enumerate(parts_of(item)):
            found = {
                (number, name): value * (log(1 + len(items) / holders[number, name]) if idf else 1.0)
                for name, value in bag.items()
            }
            norm = sqrt(sum(value**2 for value in found.values()))
            vector |= {name: sqrt(weight) * value / norm for name, value in found.items()} if norm else {}
        norm = sqrt(sum(value**2 for value in vector.values()))
        vectors.append({name: value / norm for name, value in vector.items()})
    return {
        (one[0], other[0]): cosine
        for one, mine in zip(items, vectors, strict=True)
        for other, theirs in zip(items, vectors, strict=True)
        if one is not other and other[1] and (cosine := sum(mine[name] * theirs.get(name, 0.0) for name in mine)) > 0
    }


# -- Spark


@pytest.fixture(scope="module")
def catalog(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(ITEMS, CATALOG)


def fitted(spark: SparkSession, catalog: DataFrame, rows: list[Row], **settings: Any) -> ContentModel:
    log_with = replace(log_of(spark, rows), items=catalog, item_index=None)
    return Content(**settings).fit(log_with, signal=SIGNAL)


@pytest.fixture(scope="module")
def model(spark: SparkSession, catalog: DataFrame) -> ContentModel:
    rows = [Row("u", "red", hours=2), Row("u", "lamp", hours=1), Row("v", "ball", "purchase")]
    found = fitted(spark, catalog, rows, **SETTINGS)
    return replace(found, frames={name: frame.localCheckpoint() for name, frame in found.frames.items()})


@pytest.mark.spark
def test_similarities_are_those_of_the_oracle(model: ContentModel) -> None:
    rows = model.frames["similar"].collect()
    expected = oracle([item for item in ITEMS if item[0] != "late"])
    assert {(r["item_id"], r["neighbor_id"]): r["score"] for r in rows} == pytest.approx(expected, abs=1e-6)
    assert ("gone", "red") in expected and ("red", "gone") not in expected, "available ones are proposed"
    lists: dict[str, list[Any]] = {}
    for row in sorted(rows, key=lambda row: (row["item_id"], row["rank"])):
        lists.setdefault(row["item_id"], []).append(row)
    for mine in lists.values():
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert [row["score"] for row in mine] == sorted((row["score"] for row in mine), reverse=True)
    assert "bare" not in lists and "late" not in lists


@pytest.mark.spark
def test_what_two_items_share(model: ContentModel) -> None:
    shared = {
        (r["item_id"], r["neighbor_id"]): (r["shared_brand"], r["shared_category"])
        for r in model.frames["similar"].collect()
    }
    assert shared["blue", "red"] == ("Fleet", None), "'Sport / Shoes' is written in another way"
    assert shared["gone", "blue"] == ("Fleet", "Sport/Shoes")
    assert shared["lamp", "desk"] == (None, "Home"), "no brand is no brand in common"


@pytest.mark.spark
def test_users_get_what_is_like_their_latest_items_new_ones_too(model: ContentModel) -> None:
    cosine = oracle([item for item in ITEMS if item[0] != "late"])
    found = {(r["user_id"], r["item_id"]): r for r in model.recommend(k=9).collect()}
    # The lamp was viewed after the shoe, so the shoe counts `fade` of it.
    expected = {
        name: cosine.get(("lamp", name), 0.0) + 0.9 * cosine.get(("red", name), 0.0) for name in ("blue", "desk")
    }
    assert {name: found["u", name]["score"] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert ("v", "desk") not in found and ("v", "blue") in found, "nobody touched either; a ball is a sports article"
    assert not {item for _, item in found} & {"late", "bare", "gone"}


@pytest.mark.spark
def test_reasons_name_what_is_shared(spark: SparkSession, model: ContentModel) -> None:
    rows = [
        ("gone", "blue", None, 0),
        ("lamp", "desk", "Lamp", 0),
        ("red", "ball", "Shoe", 0),
        ("red", "blue", "Shoe", None),
    ]
    lists = spark.createDataFrame(rows, "because_item_id string, item_id string, because_title string, strongest int")
    evidence, cases = model.explain(lists)
    text = F.coalesce(*(F.when(case.when, case.sentence) for case in cases))
    assert table(evidence.select("because_item_id", "item_id", text)) == [
        ("gone", "blue", "Similar to gone, also by Fleet"),
        ("lamp", "desk", "Similar to Lamp, also in Home"),
        ("red", "ball", "Similar to Shoe"),
        ("red", "blue", None),
    ]


@pytest.mark.spark
def test_a_weight_of_0_leaves_a_field_out_and_an_empty_catalog_says_so(spark: SparkSession, catalog: DataFrame) -> None:
    alone = {"category": 0.0, "title": 0.0, "price": 0.0}
    rows = [Row("u", "red")]
    found = fitted(spark, catalog, rows, **alone, brand=2.0).frames["similar"].collect()
    assert {(r["item_id"], r["neighbor_id"], round(r["score"], 9)) for r in found} == {
        ("red", "blue", 1.0),
        ("blue", "red", 1.0),
        ("gone", "red", 1.0),
        ("gone", "blue", 1.0),
    }
    with pytest.raises(NothingToDo, match=r"content: the catalog says nothing of attributes.size, so no items"):
        fitted(spark, catalog, rows, **alone, brand=0.0, tags={"size": 1.0})
    with pytest.raises(NothingToDo, match="says nothing of category, brand, price, title"):
        Content().fit(log_of(spark, rows), signal=SIGNAL)


@pytest.mark.spark
def test_a_callers_catalog_keeps_what_it_says(spark: SparkSession) -> None:
    raw = spark.createDataFrame(
        [(1, "Shoe", 9, ["run", "red"], None), (1, None, 7, None, "x"), (2, None, 5, ["b"], None)],
        "sku bigint, title string, price int, tags array<string>, `odd.name` string",
    )
    found = described(raw, Ids(item="sku", item_type="bigint"), like=raw)
    assert found.columns == ["item_id", "available", "added_at", "title", "price", "attributes"]
    assert [tuple(row) for row in found.orderBy("item_id").collect()] == [
        ("1", True, None, "Shoe", 7.0, {"tags": "run|red", "odd.name": "x"}),
        ("2", True, None, None, 5.0, {"tags": "b"}),
    ]


# -- numpy alone


@pytest.mark.fast
def test_words_that_nearly_all_have_are_left_out_but_categories_are_not() -> None:
    n = 400
    scheme = Scheme([1.0, 1.0], [True, True], [True, False], blocks=1, keep=9)
    own = np.arange(n, dtype=np.int32) + 10
    # Part by part: everybody's category 1; everybody's word 2, and a word of one's own.
    features = np.stack([np.full(n, 1), np.full(n, 2), own], axis=1).ravel().astype(np.int32)
    lengths = np.tile(np.array([1, 2], np.int32), (n, 1))
    vectors = scheme.vectors(lengths, features, np.ones(len(features), np.float32))
    cosines = (vectors[0] @ vectors.T).toarray()[0]
    assert cosines[0] == pytest.approx(1.0)
    assert cosines[1:] == pytest.approx(np.full(n - 1, 0.5)), "the category alone"


@pytest.mark.fast
def test_settings_that_compare_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        Content(category=0, brand=0, title=0, price=0)
    with pytest.raises(ConfigError):
        Content(fade=0.0)
    assert recsys.Content is Content
