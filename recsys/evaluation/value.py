"""The true value of lists, where it is known: the mean over the first k, and what was left lying (regret).

On a synthetic shop the generator knows with which probability a user would click an item
(`recsys.synthetic.value.true_click_probability`). A list of k items is worth the mean of its probabilities; the best
list is that of the k candidates with the highest ones, and regret is what a list is worth less. It is negative where a
list holds better items than the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.evaluation.bootstrap import UNIT, intervals, resampled_sums
from recsys.evaluation.evaluate import FIGURES
from recsys.evaluation.metrics import VALUES, Measure

_SUMS = "slices array<string>, resample int, sums array<bigint>"


def value_figures(
    lists: DataFrame,
    *,
    candidates: DataFrame,
    k: int,
    stages: Sequence[str],
    differences: Sequence[tuple[str, str]] = (),
    resamples: int = 1000,
    seed: int = 7,
) -> DataFrame:
    """Return `truep@k` and `regret@k` of each stage, with intervals over users.

    Parameters
    ----------
    lists : DataFrame
        stage, user_id, rank, p: the value of the item at that rank, in [0, 1]; rows without one are passed over.
    candidates : DataFrame
        user_id, p: the value of each candidate of the user.
    stages : sequence of str
        Stages to judge.
    differences : sequence of (str, str)
        Pairs of stages that are compared within the same users.
    resamples, seed : int
        Of the Poisson bootstrap over users.

    Returns
    -------
    DataFrame
        The columns of `recsys.evaluation.evaluate.figures`. A stage's figures are over the users who have both a list
        and candidates.
    """
    per_user, names = _per_user(lists, _best(candidates, k), k=k, stages=stages), list(stages)
    chosen = [Measure(metric, k) for metric in VALUES]

    def add(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return resampled_sums(batches, resamples=resamples, seed=seed)

    def ends(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return intervals(batches, stages=names, differences=differences, chosen=chosen, resamples=resamples)

    sums = per_user.mapInArrow(add, _SUMS).select(F.explode("slices").alias("slice"), "resample", "sums")
    return sums.repartition(1).mapInArrow(ends, FIGURES)


def _units(column: str) -> Column:
    """A value in whole units, so that no order of rows can change a sum."""
    return F.rint(F.col(column) * UNIT).cast("bigint")


def _best(candidates: DataFrame, k: int) -> DataFrame:
    """user_id, best: the mean of the k highest values among a user's candidates, in units."""
    values = F.slice(F.sort_array(F.collect_list(_units("p")), asc=False), 1, k)
    ranked = candidates.where(F.col("p").isNotNull()).groupBy("user_id").agg(values.alias("values"))
    total = F.aggregate("values", F.lit(0).cast("bigint"), lambda added, value: added + value)
    return ranked.select("user_id", (total / F.size("values")).alias("best"))


def _per_user(lists: DataFrame, best: DataFrame, *, k: int, stages: Sequence[str]) -> DataFrame:
    """user_hash, slices, values: a one, both figures in units and whether they are known; stages side by side."""
    shown = lists.where(F.col("stage").isin(*stages) & (F.col("rank") <= k) & F.col("p").isNotNull())
    means = shown.groupBy("user_id", "stage").agg((F.sum(_units("p")) / F.count("*")).alias("mean"))
    one, mean = F.lit(1).cast("bigint"), F.rint("mean").cast("bigint")
    packed = F.array(one, mean, F.rint(F.col("best") - F.col("mean")).cast("bigint"), one, one)
    by_stage = means.join(best, on="user_id", how="inner").select("user_id", "stage", packed.alias("values"))
    found = F.map_from_entries(F.collect_list(F.struct("stage", "values")))
    nothing = F.array(*(F.lit(value).cast("bigint") for value in (1, 0, 0, 0, 0)))
    return (
        by_stage.groupBy("user_id")
        .agg(found.alias("found"))
        .select(
            F.xxhash64("user_id").alias("user_hash"),
            F.array(F.lit("all")).alias("slices"),
            F.concat(*(F.coalesce(F.col("found")[name], nothing) for name in stages)).alias("values"),
        )
    )
