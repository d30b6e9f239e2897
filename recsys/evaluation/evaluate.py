"""Figures of every stage over every slice: per-user metrics, resampled, as rows of `metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.arrow import Array, group_of_rows, group_starts, whole_groups
from recsys.evaluation.bootstrap import intervals, pack, resampled_sums
from recsys.evaluation.metrics import list_metrics, measures

FIGURES = "stage string, slice string, metric string, k int, value double, ci_low double, ci_high double, n bigint"


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
    parts: Sequence[str] = (),
) -> DataFrame:
    """Compute every metric of every stage and difference over every slice, with intervals.

    Parameters
    ----------
    lists : DataFrame
        stage, user_id, rank, item_id; rank unique per stage and user, item too. Users outside `population` and stages
        outside `stages` are passed over.
    relevant : DataFrame
        The truth: user_id, item_id, unique; with `parts`, the bits of the slices of the truth that it is in.
    population : DataFrame
        user_id (unique), n_relevant, slices; with `parts`, n_parts: relevant items in each.
    facts : DataFrame
        item_id (unique), category, information, in_catalog.
    resamples, seed : int
        Of the Poisson bootstrap.
    parts : sequence of str
        Names of slices of the truth, such as `items:new`: figures over the users with such truth, where it alone
        is relevant.

    Returns
    -------
    DataFrame
        stage, slice, metric, k, value, ci_low, ci_high, n.
    """
    added = figure_sums(
        lists,
        relevant=relevant,
        population=population,
        facts=facts,
        ks=ks,
        resamples=resamples,
        seed=seed,
        stages=stages,
        parts=parts,
    )
    return figures_of(added, stages=stages, differences=differences, ks=ks, resamples=resamples)


def figure_sums(
    lists: DataFrame,
    *,
    relevant: DataFrame,
    population: DataFrame,
    facts: DataFrame,
    ks: Sequence[int],
    resamples: int,
    seed: int,
    stages: Sequence[str],
    parts: Sequence[str] = (),
) -> DataFrame:
    """Add up the metrics of all users per slice and resample: what `figures_of` takes.

    A user has the same weights at every instant, so sums of several instants can be put together: the figures are then
    over all of them, with users resampled with all of their instants. Parameters as in `figures`.

    Returns
    -------
    DataFrame
        slice, resample (0: the sample itself), sums (all stages side by side); a few rows per partition, slice and
        resample.
    """
    depth, names = max(ks), list(stages)
    truth = relevant.select("user_id", "item_id", *([_mask(F.col("parts"))] if parts else [_mask(F.lit(0))]))
    number = F.call_function("array_position", F.array(*map(F.lit, names)), F.col("stage")).cast("int") - 1
    judged = (
        lists.where(F.col("stage").isin(*names) & (F.col("rank") <= depth))
        .select("user_id", number.alias("stage"), "rank", "item_id")
        .join(population.select("user_id"), on="user_id", how="left_semi")
        .join(truth, on=["user_id", "item_id"], how="left")
        .join(facts.select("item_id", "category", "information"), on="item_id", how="left")
    )
    per_user = user_figures(judged, population=population, stages=len(names), ks=ks, parts=parts)

    def sums(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return resampled_sums(batches, resamples=resamples, seed=seed)

    added = per_user.mapInArrow(sums, "slices array<string>, resample int, sums array<bigint>")
    return added.select(F.explode("slices").alias("slice"), "resample", "sums")


def figures_of(
    sums: DataFrame,
    *,
    stages: Sequence[str],
    differences: Sequence[tuple[str, str]],
    ks: Sequence[int],
    resamples: int,
) -> DataFrame:
    """Turn sums into figures with intervals; see `figures`."""
    chosen, names = measures(ks), list(stages)

    def ends(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return intervals(batches, stages=names, differences=differences, chosen=chosen, resamples=resamples)

    return sums.repartition("slice").mapInArrow(ends, FIGURES)


def _mask(parts: Column) -> Column:
    """Bit 0: relevant; the bits above: in which part of the truth."""
    return (parts * 2 + 1).cast("int").alias("relevant")


def user_figures(
    judged: DataFrame, *, population: DataFrame, stages: int, ks: Sequence[int], parts: Sequence[str] = ()
) -> DataFrame:
    """One row per user, and one per part of the truth that the user has: user_hash, slices, values.

    `values` are the packed figures of every stage, side by side.

    Parameters
    ----------
    judged : DataFrame
        user_id, stage (number from 0), rank, relevant (bits, or null), category, information of users of
        `population`.
    """
    rows = judged.select(
        "user_id",
        "stage",
        "rank",
        F.coalesce("relevant", F.lit(0)).alias("relevant"),
        F.coalesce("information", F.lit(0.0)).alias("information"),
        "category",
        F.lit(None).cast("array<int>").alias("n_relevant"),
        F.lit(None).cast("array<string>").alias("slices"),
        F.lit(None).cast("bigint").alias("user_hash"),
    )
    heads = population.select(
        "user_id",
        F.lit(-1).alias("stage"),
        F.lit(0).alias("rank"),
        F.lit(0).alias("relevant"),
        F.lit(0.0).alias("information"),
        F.lit(None).cast("string").alias("category"),
        F.concat(F.array("n_relevant"), F.col("n_parts") if parts else F.array().cast("array<int>")).alias(
            "n_relevant"
        ),
        "slices",
        F.xxhash64("user_id").alias("user_hash"),
    )

    def kernel(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in whole_groups(batches, "user_id", rows=30_000):
            for part in measure_users(table, stages=stages, ks=ks, parts=parts):
                yield from part.to_batches(max_chunksize=2000)

    ordered = rows.unionByName(heads).repartition("user_id").sortWithinPartitions("user_id", "stage", "rank")
    return ordered.mapInArrow(kernel, "user_hash bigint, slices array<string>, values array<bigint>")


def measure_users(table: pa.Table, *, stages: int, ks: Sequence[int], parts: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Measure whole users, each a head row (stage -1) and its lists' rows (the kernel of `user_figures`).

    First by all of their truth, then those who have it by each part of it alone.
    """
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
    grids = (
        spread(np.ones(table.num_rows, dtype=bool), False),
        spread(table.column("relevant").to_numpy().astype(np.int64), 0),
        spread(table.column("information").to_numpy(), 0.0),
        spread(codes, -1),
    )
    counts = heads.column("n_relevant").combine_chunks().flatten().to_numpy().reshape(len(starts), -1)
    for bit, name in enumerate((None, *parts)):
        having = np.flatnonzero(counts[:, bit] > 0)
        if len(having):
            yield _measured(heads.take(pa.array(having)), having, grids, counts[having, bit], bit, stages, ks, name)


def _measured(
    heads: pa.Table,
    users: Array,
    grids: tuple[Array, Array, Array, Array],
    n_relevant: Array,
    bit: int,
    stages: int,
    ks: Sequence[int],
    part: str | None,
) -> pa.Table:
    """Packed figures of some users by one bit of what is relevant, in their own slices or in that of the part."""
    rows = (users[:, None] * stages + np.arange(stages)).ravel()
    present, mask, information, category = (grid[rows] for grid in grids)
    relevant = (mask >> bit) & 1 > 0
    n_relevant = np.repeat(n_relevant.astype(np.int64), stages)
    found = list_metrics(present, relevant, information, category, n_relevant, ks)
    packed = pack(found, measures(ks)).reshape(len(users), -1)
    offsets = pa.array(np.arange(0, packed.size + 1, packed.shape[1]).astype(np.int32))
    values = pa.ListArray.from_arrays(offsets, pa.array(packed.ravel()))
    own = heads.column("slices").combine_chunks()
    slices = own if part is None else pa.array([[part]] * len(users), pa.list_(pa.string()))
    columns = [heads.column("user_hash").combine_chunks(), slices, values]
    return pa.Table.from_arrays(columns, names=["user_hash", "slices", "values"])
