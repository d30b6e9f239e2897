"""Figures of every stage over every slice: per-user metrics, resampled, as rows of `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.arrow import Array, group_of_rows, group_starts, whole_groups
from recsys.evaluation.bootstrap import intervals, pack, resampled_sums
from recsys.evaluation.metrics import list_metrics, measures

_FIGURES = "stage string, slice string, metric string, k int, value double, ci_low double, ci_high double, n bigint"


def figures(
    lists: DataFrame,
    *,
    relevant: DataFrame,
    population: DataFrame,
    facts: DataFrame,
    ks: Sequence[int],
    resamples: int,
    seed: int,
    stages: Sequence[str],
    differences: Sequence[tuple[str, str]],
) -> DataFrame:
    """Compute every metric of every stage and difference over every slice, with intervals.

    Parameters
    ----------
    lists : DataFrame
        stage, user_id, rank, item_id; rank unique per stage and user, item too. Users outside `population` and stages
        outside `stages` are passed over.
    relevant : DataFrame
        The truth: user_id, item_id, unique.
    population : DataFrame
        user_id (unique), n_relevant, slices.
    facts : DataFrame
        item_id (unique), category, information, in_catalog.
    resamples, seed : int
        Of the Poisson bootstrap.

    Returns
    -------
    DataFrame
        stage, slice, metric, k, value, ci_low, ci_high, n.
    """
    depth, names = max(ks), list(stages)
    number = F.call_function("array_position", F.array(*map(F.lit, names)), F.col("stage")).cast("int") - 1
    judged = (
        lists.where(F.col("stage").isin(*names) & (F.col("rank") <= depth))
        .select("user_id", number.alias("stage"), "rank", "item_id")
        .join(population.select("user_id"), on="user_id", how="left_semi")
        .join(relevant.withColumn("relevant", F.lit(True)), on=["user_id", "item_id"], how="left")
        .join(facts.select("item_id", "category", "information"), on="item_id", how="left")
    )
    per_user = user_figures(judged, population=population, stages=len(names), ks=ks)
    chosen = measures(ks)

    def sums(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return resampled_sums(batches, resamples=resamples, seed=seed)

    def ends(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return intervals(batches, stages=names, differences=differences, chosen=chosen, resamples=resamples)

    added = per_user.mapInArrow(sums, "slices array<string>, resample int, sums array<bigint>")
    by_slice = added.select(F.explode("slices").alias("slice"), "resample", "sums").repartition("slice")
    return by_slice.mapInArrow(ends, _FIGURES)


def user_figures(judged: DataFrame, *, population: DataFrame, stages: int, ks: Sequence[int]) -> DataFrame:
    """One row per user: user_hash, slices, values (the packed figures of every stage, side by side).

    Parameters
    ----------
    judged : DataFrame
        user_id, stage (number from 0), rank, relevant, category, information of users of `population`.
    """
    rows = judged.select(
        "user_id",
        "stage",
        "rank",
        F.coalesce("relevant", F.lit(False)).alias("relevant"),
        F.coalesce("information", F.lit(0.0)).alias("information"),
        "category",
        F.lit(None).cast("int").alias("n_relevant"),
        F.lit(None).cast("array<string>").alias("slices"),
        F.lit(None).cast("bigint").alias("user_hash"),
    )
    heads = population.select(
        "user_id",
        F.lit(-1).alias("stage"),
        F.lit(0).alias("rank"),
        F.lit(False).alias("relevant"),
        F.lit(0.0).alias("information"),
        F.lit(None).cast("string").alias("category"),
        "n_relevant",
        "slices",
        F.xxhash64("user_id").alias("user_hash"),
    )

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in whole_groups(batches, "user_id", rows=30_000):
            yield from measure_users(table, stages=stages, ks=ks).to_batches(max_chunksize=2000)

    ordered = rows.unionByName(heads).repartition("user_id").sortWithinPartitions("user_id", "stage", "rank")
    return ordered.mapInArrow(kernel, "user_hash bigint, slices array<string>, values array<bigint>")


def measure_users(table: pa.Table, *, stages: int, ks: Sequence[int]) -> pa.Table:
    """Measure whole users, each a head row (stage -1) and its lists' rows (the kernel of `user_figures`)."""
    starts = group_starts(table.column("user_id"))
    user = group_of_rows(starts, table.num_rows)
    stage = table.column("stage").to_numpy()
    entry = stage >= 0
    heads = table.take(pa.array(np.flatnonzero(~entry)))
    row = user[entry] * stages + stage[entry]
    column = table.column("rank").to_numpy()[entry] - 1
    shape = (len(starts) * stages, max(ks))

    def spread(values: Array, empty: float) -> Array:
        grid = np.full(shape, empty, dtype=values.dtype)
        grid[row, column] = values[entry]
        return grid

    encoded = table.column("category").combine_chunks().dictionary_encode().indices
    codes = pc.fill_null(encoded, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    found = list_metrics(
        spread(np.ones(table.num_rows, dtype=bool), False),
        spread(table.column("relevant").to_numpy(), False),
        spread(table.column("information").to_numpy(), 0.0),
        spread(codes, -1),
        np.repeat(heads.column("n_relevant").to_numpy().astype(np.int64), stages),
        ks,
    )
    packed = pack(found, measures(ks)).reshape(len(starts), -1)
    offsets = pa.array(np.arange(0, packed.size + 1, packed.shape[1]).astype(np.int32))
    values = pa.ListArray.from_arrays(offsets, pa.array(packed.ravel()))
    columns = [heads.column("user_hash").combine_chunks(), heads.column("slices").combine_chunks(), values]
    return pa.Table.from_arrays(columns, names=["user_hash", "slices", "values"])


def coverage(lists: DataFrame, *, population: DataFrame, facts: DataFrame, ks: Sequence[int]) -> DataFrame:
    """Share of the catalog that stands in at least one judged user's list, per stage and cut-off.

    It grows with the number of users and is comparable only within a run; it has no interval. `n` counts the catalog.

    Returns
    -------
    DataFrame
        The columns of `figures`.
    """
    best = (
        lists.join(population.select("user_id"), on="user_id", how="left_semi")
        .groupBy("stage", "item_id")
        .agg(F.min("rank").alias("best"))
        .join(facts.where("in_catalog").select("item_id"), on="item_id", how="left_semi")
    )
    counted = best.groupBy("stage").agg(*(F.count_if(F.col("best") <= k).alias(f"at_{k}") for k in sorted(set(ks))))
    size = facts.agg(F.count_if("in_catalog").alias("n"))
    at = F.explode(F.array(*(F.struct(F.lit(k).alias("k"), F.col(f"at_{k}").alias("items")) for k in sorted(set(ks)))))
    nothing = F.lit(None).cast("double")
    return (
        counted.select("stage", at.alias("at"))
        .crossJoin(F.broadcast(size))
        .select(
            "stage",
            F.lit("all").alias("slice"),
            F.lit("coverage").alias("metric"),
            "at.k",
            (F.col("at.items") / F.col("n")).alias("value"),
            nothing.alias("ci_low"),
            nothing.alias("ci_high"),
            "n",
        )
    )
