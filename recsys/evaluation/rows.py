"""Rows of `metrics`: figures of all stages, coverage, and what the ranker reached on its own examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import METRICS
from recsys.evaluation.evaluate import coverage, figures
from recsys.evaluation.stages import RANKER, Stages


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
) -> DataFrame:
    """Rows of `metrics` for the lists of the stages and their differences; parameters as in `figures`."""
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
    )
    covered = coverage(lists, population=population, facts=facts, ks=ks)
    version = F.when(F.col("stage").isin(*stages.without_version), F.col("stage")).otherwise(F.lit(model_version))
    return judged.unionByName(covered).select(
        F.lit(as_of.date()).alias("run_date"), F.lit(as_of).alias("as_of"), version.alias("model_version"), "*"
    )


def ranker_rows(like: DataFrame, *, model: Mapping[str, Any] | None, as_of: datetime) -> DataFrame:
    """Rows of `metrics` for the ranker's figures on its held-out examples: `test_auc_calibrated` and the like.

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
        + (int(found.get(f"{name.split('_')[0]}_rows", 0)),)
        for name, value in sorted(found.items())
        if model and ("auc" in name or "logloss" in name)
    ]
    return like.sparkSession.createDataFrame(rows, METRICS.ddl())
