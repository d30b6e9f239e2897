"""Figures over several instants: users resampled with all of their instants.

A small log has few users who are active both before and after any one instant, too few to see which of two lists is
better. Over many instants there are enough. A user's resampling weights are hashes of the user, equal at every
instant; so the sums of the instants, resample by resample, add up to those of a sample of users with all that they
did, and the interval allows for a user's lists being alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import BACKTESTS, stamp
from recsys.evaluation.evaluate import figures_of
from recsys.evaluation.shown import shown_figures
from recsys.evaluation.stages import FINAL, Stages
from recsys.evaluation.truth import PARTS

POOLED = "pooled"
"""What `instant` says where all instants are put together."""
_ID = ("stage", "slice", "metric", "k", "value", "ci_low", "ci_high", "n")


def compared(stages: Stages) -> tuple[tuple[str, str], ...]:
    """The pairs of stages of a back-test: those of `evaluate`, and the final list against every retriever."""
    pairs = [*stages.differences, *((FINAL, name) for name in stages.retrievers)]
    return tuple(dict.fromkeys(pairs))


def members(population: DataFrame) -> DataFrame:
    """Return user_id, slice: every slice of the users, and of their truth, that a user is in."""
    in_part = [F.when(F.col("n_parts")[bit] > 0, F.lit(name)) for bit, name in enumerate(PARTS)]
    together = F.concat(F.col("slices"), F.array_compact(F.array(*in_part)))
    return population.select("user_id", F.explode(together).alias("slice"))


def figures_over(
    sums: Sequence[DataFrame],
    shown: Sequence[DataFrame],
    *,
    stages: Stages,
    ks: Sequence[int],
    resamples: int,
    corrected: bool,
) -> DataFrame:
    """Turn the sums of one instant or of several into figures.

    Parameters
    ----------
    sums, shown : sequence of DataFrame
        Of each instant, `figure_sums` and `shown_sums` of the same stages.
    corrected : bool
        Whether every instant had effects of positions.

    Returns
    -------
    DataFrame
        stage, slice, metric, k, value, ci_low, ci_high, n.
    """
    pairs = compared(stages)
    found = figures_of(
        reduce(DataFrame.unionByName, sums), stages=stages.names, differences=pairs, ks=ks, resamples=resamples
    ).select(*_ID)
    if not shown:
        return found
    together = reduce(DataFrame.unionByName, shown)
    clicks = shown_figures(together, stages=stages, ks=ks, resamples=resamples, corrected=corrected, differences=pairs)
    return found.unionByName(clicks.select(*_ID))


def backtest_rows(
    figures: DataFrame, *, backtest: str, as_of: datetime | None, distinct: DataFrame | None
) -> DataFrame:
    """Return rows of `backtests`.

    Parameters
    ----------
    figures : DataFrame
        What `figures_over` returns.
    as_of : datetime, optional
        The instant; None for all together.
    distinct : DataFrame, optional
        slice, users: how many distinct users each slice has over all instants. Without it `n` stands for them.
    """
    if distinct is None:
        counted = figures.withColumn("users", F.col("n"))
    else:
        of_truth = ~F.col("metric").startswith("snips") & ~F.col("metric").startswith("ctr")
        joined = figures.join(F.broadcast(distinct), on="slice", how="left")
        counted = joined.withColumn("users", F.when(of_truth, F.col("users")))
    bound = F.lit(None).cast("timestamp") if as_of is None else F.lit(as_of)
    key = POOLED if as_of is None else stamp(as_of)
    named = counted.select(
        F.lit(backtest).alias("backtest"), bound.alias("as_of"), F.lit(key).alias("instant"), *counted.columns
    )
    return named.select(*BACKTESTS.column_names)
