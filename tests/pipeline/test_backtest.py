"""A back-test of a small shop at two instants, and which instants flags mean."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.backtest import pooled_figures
from recsys import data
from recsys.config import Config
from recsys.data import stamp
from recsys.errors import ConfigError
from recsys.pipeline import backtest
from recsys.pipeline.job import load_jobs
from recsys.store import Warehouse
from tests.support.shops import ROOT, Shop, shop_config

pytestmark = pytest.mark.spark

FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 20, tzinfo=UTC)


def test_instants_go_back_from_as_of() -> None:
    assert backtest.instants(LAST, count=3, every=7) == [LAST - timedelta(days=14), LAST - timedelta(days=7), LAST]


def test_instants_lie_between_two_bounds() -> None:
    found = backtest.instants(LAST, first=FIRST, last=LAST, every=7)
    assert [at.day for at in found] == [1, 8, 15]
    assert backtest.instants(LAST, first=FIRST, last=FIRST) == [FIRST]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "needs its instants"),
        ({"first": FIRST}, "needs its instants"),
        ({"count": 2, "first": FIRST}, "either --instants"),
        ({"count": 0}, "at least one instant"),
        ({"first": LAST, "last": FIRST}, "lies after --last"),
        ({"count": 2, "every": 0}, "at least one day apart"),
    ],
)
def test_unclear_instants_are_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        backtest.instants(LAST, **asked)  # type: ignore[arg-type]


def test_two_instants_and_both_together(
    spark: SparkSession, shop: Shop, served: tuple[Config, Warehouse], tmp_path: Path
) -> None:
    """In a copy of a warehouse that has the lists of the later instant."""
    shutil.copytree(served[1].root, tmp_path / "warehouse")
    config = shop_config(shop.raw, tmp_path / "warehouse", "evaluate.ks=[5,10]")
    ats = backtest.instants(shop.as_of, count=2, every=7)
    name = backtest.run_backtest(spark, config, ats, load_jobs(ROOT / "jobs"))
    rows = Warehouse(spark, config.warehouse).read(data.BACKTESTS, where={"backtest": name})
    found = {(row["instant"], row["stage"], row["slice"], row["metric"], row["k"]): row for row in rows.collect()}
    keys = [stamp(at) for at in ats]
    each = [found[key, "final", "known", "ndcg", 10] for key in keys]
    pooled = found["pooled", "final", "known", "ndcg", 10]
    # A mean over users and instants: weighted by how many users each instant has.
    assert pooled["n"] == sum(row["n"] for row in each)
    assert max(row["n"] for row in each) <= pooled["users"] < pooled["n"]
    assert pooled["value"] == pytest.approx(sum(row["value"] * row["n"] for row in each) / pooled["n"])
    for other in ("popular", "popular_overall", "candidates", "als", "neighbors"):
        row = found["pooled", f"final-{other}", "known", "ndcg", 10]
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
    reached = [found["pooled", stage, "known", "no_list", 0]["value"] for stage in ("popular", "popular_overall")]
    assert reached[0] == reached[1] < 0.5
    assert found["pooled", "final", "all", "snips_ctr", 10]["n"] > 0
    assert found[keys[0], "final", "all", "snips_ess", 5]["value"] > 0
    text = pooled_figures(rows.where("instant = 'pooled'"))
    assert "final-popular" in text and f"{pooled['value']:.4f}" in text
