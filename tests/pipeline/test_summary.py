"""The summary of a run, on literal figures and on an empty warehouse; on a whole one in tests/e2e."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import Row, SparkSession

from recsys.config import load_config
from recsys.pipeline import summary
from recsys.pipeline.graph import Outcome

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 3, 8, tzinfo=UTC)


def figure(value: float, low: float | None = None, high: float | None = None) -> Row:
    return Row(value=value, ci_low=low, ci_high=high, n=1234)


FIGURES = {
    ("popular", "ndcg"): figure(0.1, 0.05, 0.15),
    ("final", "ndcg"): figure(0.3, 0.25, 0.35),
    ("final", "coverage"): figure(0.5),
    ("als-2", "ndcg"): figure(0.2, 0.15, 0.25),
    ("final-popular", "ndcg"): figure(0.2, 0.1, 0.3),
    ("final-als-2", "ndcg"): figure(0.1, -0.1, 0.3),
    ("als-2-popular", "ndcg"): figure(0.1, 0.0, 0.2),
}


def test_a_line_per_stage() -> None:
    text = summary.stages([Outcome("clean@x", "done", 1.25), Outcome("rank@x", "skipped", 0.0)])
    assert text.splitlines() == ["clean@x       1.2 s  done", "rank@x        0.0 s  skipped"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert summary.aligned(("a", "bb"), [("long", None), ("x", 2)]).splitlines() == [
        "a     bb",
        "--------",
        "long",
        "x     2",
    ]


def test_stages_come_from_the_table_the_best_first_without_differences() -> None:
    """Whatever a retriever is called."""
    lines = summary._quality(FIGURES, 10).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["final", "als-2", "popular"]
    assert lines[0].split() == ["stage", "ndcg@10", "recall@10", "hit_rate@10", "coverage@10", "snips_ctr@10"]
    assert "0.3000 [0.2500, 0.3500]" in lines[2]


def test_the_final_list_is_compared_with_each_other_list_that_has_a_difference() -> None:
    lines = summary._comparison(FIGURES, 10).splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == ["final - als-2", "final - popular"]
    assert "not proven" in lines[0] and "yes" in lines[1] and "1,234" in lines[1]
    assert "[+0.1000, +0.3000]" in lines[1]


@pytest.mark.parametrize(
    ("low", "high", "says"), [(0.1, 0.2, "yes"), (-0.2, -0.1, "no, worse"), (0.0, 0.1, "not proven")]
)
def test_a_difference_counts_if_its_interval_excludes_zero(low: float, high: float, says: str) -> None:
    assert summary._verdict(figure((low + high) / 2, low, high))[1] == says


@pytest.mark.spark
def test_a_warehouse_without_tables_says_so(spark: SparkSession, tmp_path: Path) -> None:
    config = load_config(overrides=[f"warehouse={tmp_path}/w"])
    text = summary.summarize(spark, config, AS_OF, [Outcome("clean@20240308T000000Z", "skipped", 0.0)])
    assert f"no tables in {tmp_path}/w yet" in text
    assert text.splitlines()[-1].startswith("none yet: the job evaluate writes it once there are lists")
    assert "Quality" not in text
