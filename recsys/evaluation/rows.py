"""Rows of `metrics`: figures of all stages, coverage, and what the ranker reached on its own examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import METRICS
from recsys.evaluation.coverage import coverage
from recsys.evaluation.evaluate import figures
from recsys.evaluation.stages import RANKER, Stages

OF_THE_RANKER = ("auc", "logloss", "ndcg", "base_rate", "mean_prediction")
"""Parts of the names of a fit's figures that stand in `metrics` too; `list_auc` is one of them."""
SPLITS = ("train", "valid", "calibration", "test")
"""What examples a figure is over, as its name says."""


def metric_rows(
    lists: DataFrame,
    *,
    stages: Stages,
    as_of: datetime,
    model_version: str,
    relevant: DataFrame,
    population: DataFrame,
    facts: DataFrame,
    ks: Sequence[int],
    resamples: int,
    seed: int,
    parts: Sequence[str] = (),
    shown: DataFrame | None = None,
) -> DataFrame:
    """Rows of `metrics` for the lists of the stages and their differences; parameters as in `figures`.

    `shown` are further figures of the same columns: what the lists would have earned.
    """
    judged = figures(
        lists,
        relevant=relevant,
        population=population,
        facts=facts,
        ks=ks,
        resamples=resamples,
        seed=seed,
        stages=stages.names,
        differences=stages.differences,
        parts=parts,
    )
    covered = coverage(lists, population=population, facts=facts, ks=ks)
    version = F.when(F.col("stage").isin(*stages.without_version), F.col("stage")).otherwise(F.lit(model_version))
    together = judged.unionByName(covered)
    if shown is not None:
        together = together.unionByName(shown)
    return together.select(
        F.lit(as_of.date()).alias("run_date"), F.lit(as_of).alias("as_of"), version.alias("model_version"), "*"
    )


def ranker_rows(like: DataFrame, *, model: Mapping[str, Any] | None, as_of: datetime) -> DataFrame:
    """Rows of `metrics` for the ranker's figures on its held-out examples: `test_auc_calibrated` and the like.

    Figures of several heads carry the name of the head before or after that of the split.

    Parameters
    ----------
    like : DataFrame
        A frame of the session.
    model : mapping, optional
        The ranker's row of `models`; without one there are no rows.
    """
    found = dict(model["metrics"]) if model else {}
    rows = [
        (as_of.date(), as_of, model["model_version"], RANKER, "all", name, 0, float(value), None, None)
        + (_rows_behind(name, found),)
        for name, value in sorted(found.items())
        if model and any(part in name for part in OF_THE_RANKER)
    ]
    return like.sparkSession.createDataFrame(rows, METRICS.ddl())


def _rows_behind(name: str, found: Mapping[str, float]) -> int:
    """How many examples a figure is over: `click_test_auc` is over `click_test_rows`, or else `test_rows`."""
    split = next((split for split in SPLITS if split in name.split("_")), "")
    of_head = name[: name.index(split)] + split
    return int(found.get(f"{of_head}_rows", found.get(f"{split}_rows", 0)))
