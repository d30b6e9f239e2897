"""The cold-start ladder on literal lists: tiers, what is counted, and what the report makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.evaluation import report as made
from recsys.evaluation.cold_start import crossed, item_tiers, sources_in_words, user_tiers
from recsys.evaluation.stages import Stages
from recsys.retrieval.tiers import tier

pytestmark = pytest.mark.fast

LISTED = [("cold", "hot", ["popular"]), ("cold", "fresh", ["content"]), ("warm", "hot", ["als", "popular"])]
COUNTS = [
    {"user": "1-4", "item": "5+", "listed": 1, "taken": 0, "both": 0, "by:als": 1, "by:popular": 1, "by:content": 0},
    {"user": "new", "item": "5+", "listed": 1, "taken": 2, "both": 1, "by:als": 0, "by:popular": 1, "by:content": 0},
    {"user": "new", "item": "new", "listed": 2, "taken": 2, "both": 0, "by:als": 0, "by:popular": 0, "by:content": 1},
]


def test_tiers_end_at_four(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(None,), (0,), (1,), (4,), (5,)], "n int").select(tier(F.col("n"))).collect()
    assert [row[0] for row in rows] == ["new", "new", "1-4", "1-4", "5+"]


def test_lists_and_truth_are_counted_by_user_and_item(spark: SparkSession) -> None:
    """What strangers were listed is not judged; what the catalog and the past lack is a new item."""
    pairs, listed = "user_id string, item_id string", "user_id string, item_id string, sources array<string>"
    rows = crossed(
        spark.createDataFrame([*LISTED, ("stranger", "hot", ["als"]), ("cold", "unknown", [])], listed),
        ranked=spark.createDataFrame([*LISTED, ("cold", "unlisted", ["als"])], listed),
        relevant=spark.createDataFrame([("cold", "hot"), ("cold", "few"), ("warm", "hot"), ("warm", "few")], pairs),
        population=spark.createDataFrame(
            [("cold", ["all", "history:new"]), ("warm", ["all", "known", "history:1-4"])],
            "user_id string, slices array<string>",
        ),
        facts=spark.createDataFrame([("hot", 9), ("few", 4), ("fresh", 0)], "item_id string, touches bigint"),
        names=("als", "popular", "content"),
    )
    found = {(row["user"], row["item"]): tuple(row.values())[2:] for row in rows}
    # listed, taken, both, by als, by popular, by content
    assert found == {
        ("new", "5+"): (1, 1, 1, 0, 1, 0),
        ("new", "new"): (2, 0, 0, 0, 0, 1),
        ("new", "1-4"): (0, 1, 0, 0, 0, 0),
        ("1-4", "5+"): (1, 1, 1, 1, 1, 0),
        ("1-4", "1-4"): (0, 1, 0, 0, 0, 0),
    }


def figure(name: str, metric: str, k: int, value: float | None, n: int, stage: str = "final") -> dict[str, Any]:
    ends = {"ci_low": None, "ci_high": None, "model_version": "x"}
    return {"stage": stage, "slice": name, "metric": metric, "k": k, "value": value, "n": n, **ends}


FIGURES = [
    figure("all", "no_list", 0, 0.1, 8),
    figure("history:new", "no_list", 0, 0.4, 2),
    figure("history:new", "ndcg", 10, 0.25, 2),
    figure("history:new", "ndcg", 5, 0.9, 2),
    figure("history:new", "hit_rate", 10, 0.5, 2),
    figure("history:new", "hit_rate", 10, 0.9, 2, stage="candidates"),
    figure("history:1-4", "no_list", 0, 0.0, 6),
]


def test_users_by_tier() -> None:
    assert user_tiers(COUNTS, FIGURES, k=10) == [
        {
            "tier": "no event", "n": 2, "share": 0.25, "no_list": 0.4, "hit_rate": 0.5, "ndcg": 0.25,
            "sources": "content 33%, popular 33%",
        },
        {
            "tier": "1 to 4 events", "n": 6, "share": 0.75, "no_list": 0.0, "hit_rate": None, "ndcg": None,
            "sources": "als 100%, popular 100%",
        },
    ]  # fmt: skip
    assert user_tiers(COUNTS, [], k=10) == []


def test_items_by_tier() -> None:
    """Of four listed items two are new, of four that were taken up two, and none of these was listed."""
    new, hot = item_tiers(COUNTS)
    assert new == {"tier": "no event", "listed": 0.5, "taken": 0.5, "found": 0.0, "sources": "content 50%"}
    assert hot == {
        "tier": "5 events or more", "listed": 0.5, "taken": 0.5, "found": 0.5, "sources": "popular 100%, als 50%",
    }  # fmt: skip
    assert item_tiers([{**COUNTS[0], "taken": 0}])[0]["found"] is None
    assert item_tiers([]) == [] and sources_in_words([]) == ""


def test_the_report_shows_both() -> None:
    stages = Stages(("als", "popular"), "popular")
    html = made.render(made.Report(as_of="x", horizon_days=7, stages=stages, figures=FIGURES, cold_start=COUNTS))
    assert "1 to 4 events" in html and "als 100%, popular 100%" in html and "hit rate@10" in html
    assert "75.0%" in html and "0.2500" in html and "content 50%" in html
    assert "Cold start" not in made.render(made.Report(as_of="x", horizon_days=7, stages=stages, figures=FIGURES))
