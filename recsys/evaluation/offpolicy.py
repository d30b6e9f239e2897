"""What lists would have earned, estimated from lists that another policy has shown.

An impression **matches** a list where its item is among the first k of the user's list. Over the matches,

    snips = sum(u * click) / sum(u * e)        u = min(1 / propensity, clip), 1 where no propensity was logged
    ctr_corrected = sum(click) / sum(e)        e = effect of the position, 1 at the first; 1 where no effects are given

`snips` is the self-normalized inverse propensity estimate (Swaminathan & Joachims, "The Self-Normalized Estimator for
Counterfactual Learning", 2015) under the examination model of clicks: a shown item is clicked with the probability
that its position is looked at, times that of a click if it were first. The effects stand below the line and not as
weights 1 / e on both sides, which would cancel: an item seen at the tenth position alone would be charged with it.

Both figures are click rates at the first position. The effective sample size, (sum u)^2 / sum u^2, says how many
matches of equal weight would be as good.

Intervals resample users, by the same weights as every other figure (`recsys.evaluation.bootstrap`), so that a
difference of two stages is a paired one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.arrow import Array
from recsys.evaluation.bootstrap import resampled_sums

SNIPS, CORRECTED, ESS = "snips_ctr", "ctr_corrected", "snips_ess"

_UNIT, _SQUARE_UNIT = float(2**16), float(2**8)
"""Weights are added as whole multiples of 2^-16, their squares of 2^-8: no order of rows can change a bit."""
_COLUMNS = ("users", "matches", "weight", "square", "examined", "clicked", "effect", "clicks")
_SUMS = "slices array<string>, resample int, sums array<bigint>"
_ESTIMATES = (
    "stage string, value double, ci_low double, ci_high double, ess double, matches bigint, users bigint, "
    "corrected double, corrected_low double, corrected_high double"
)
_Drawn = tuple[Array, Array]


def snips(
    lists: DataFrame,
    impressions: DataFrame,
    *,
    k: int,
    effects: DataFrame | None = None,
    clip: float = 100.0,
    stages: Sequence[str] | None = None,
    differences: Sequence[tuple[str, str]] = (),
    resamples: int = 1000,
    seed: int = 7,
) -> DataFrame:
    """Estimate the click rate of the first k of each list from logged impressions.

    Parameters
    ----------
    lists : DataFrame
        stage (any label), user_id, rank, item_id; an item once per stage and user.
    impressions : DataFrame
        user_id, item_id, position from 1, label (1 clicked, 0 not; rows without one are passed over), propensity
        (null where the policy logged none), is_bot.
    effects : DataFrame, optional
        position, effect above 0, 1 at the first; positions beyond the last one have its effect.
    clip : float
        Largest weight of an impression, at least 1.
    stages : sequence of str, optional
        Labels to judge; all labels of `lists` by default, which reads them once more.
    differences : sequence of (str, str)
        Pairs of labels that are compared within the same users.
    resamples, seed : int
        Of the Poisson bootstrap over users.

    Returns
    -------
    DataFrame
        stage (a difference as `a-b`), value (SNIPS), ci_low, ci_high, ess, matches, users (with a match), corrected,
        corrected_low, corrected_high (position-corrected rate). Stages without a match have no row. A difference has
        the smaller number of users and of matches, and the smaller ess.
    """
    names = labels(lists) if stages is None else list(stages)
    sums = snips_sums(lists, impressions, k=k, effects=effects, clip=clip, stages=names, resamples=resamples, seed=seed)
    return estimates(sums, stages=names, differences=differences, resamples=resamples)


def labels(lists: DataFrame) -> list[str]:
    """Names of the stages in a frame of lists, in order."""
    return sorted(row["stage"] for row in lists.select("stage").distinct().collect())


def snips_sums(
    lists: DataFrame,
    impressions: DataFrame,
    *,
    k: int,
    effects: DataFrame | None,
    clip: float,
    stages: Sequence[str],
    resamples: int,
    seed: int,
) -> DataFrame:
    """Add up the matches per resample: what `estimates` takes. Sums of several instants can be put together.

    Returns
    -------
    DataFrame
        resample (0: the sample itself), sums (all stages side by side); a few rows per partition and resample.
    """
    per_user = _per_user(_matches(lists, impressions, k=k, effects=effects, clip=clip, stages=stages), stages)

    def add(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return resampled_sums(batches, resamples=resamples, seed=seed)

    return per_user.mapInArrow(add, _SUMS).select("resample", "sums")


def estimates(
    sums: DataFrame, *, stages: Sequence[str], differences: Sequence[tuple[str, str]], resamples: int
) -> DataFrame:
    """Turn sums into rates with intervals; see `snips` for the columns."""

    def ends(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _estimates(_added(batches, len(stages), resamples), stages, differences)

    return sums.repartition(1).mapInArrow(ends, _ESTIMATES)


def logged(impressions: DataFrame, *, clip: float) -> DataFrame:
    """Return what the estimates need of each impression of people whose outcome is known.

    Returns
    -------
    DataFrame
        user_id, item_id, position, weight (inverse propensity, clipped), clicked (1 or 0).
    """
    return impressions.where(~F.col("is_bot") & F.col("label").isNotNull()).select(
        "user_id",
        "item_id",
        "position",
        F.least(F.coalesce(1.0 / F.col("propensity"), F.lit(1.0)), F.lit(float(clip))).alias("weight"),
        (F.col("label") == 1).cast("double").alias("clicked"),
    )


def examined(shown: DataFrame, effects: DataFrame | None) -> DataFrame:
    """Add up the impressions of each user and item: `examined` (weight x effect of the position) and `clicked`."""
    rows = with_effect(shown, effects)
    parts = {"examined": F.col("weight") * F.col("effect"), "clicked": F.col("weight") * F.col("clicked")}
    sums = [(F.sum(_whole(part)) / _UNIT).alias(name) for name, part in parts.items()]
    return rows.groupBy("user_id", "item_id").agg(*sums)


def _matches(
    lists: DataFrame,
    impressions: DataFrame,
    *,
    k: int,
    effects: DataFrame | None,
    clip: float,
    stages: Sequence[str],
) -> DataFrame:
    """user_id, stage, weight, effect, clicked: one row per impression and stage whose list has the item."""
    shown = logged(impressions, clip=clip)
    listed = lists.where(F.col("stage").isin(*stages) & (F.col("rank") <= k)).select("stage", "user_id", "item_id")
    return with_effect(shown.join(listed, on=["user_id", "item_id"], how="inner"), effects)


def with_effect(shown: DataFrame, effects: DataFrame | None) -> DataFrame:
    """Join the effect of each position; there are as many effects as a list has positions."""
    if effects is None:
        return shown.withColumn("effect", F.lit(1.0))
    last = effects.agg(F.max_by("effect", "position").alias("last"))
    known = effects.select(F.col("position").cast("int").alias("position"), "effect")
    joined = shown.join(F.broadcast(known), on="position", how="left").crossJoin(F.broadcast(last))
    return joined.withColumn("effect", F.coalesce("effect", "last", F.lit(1.0)))


def _per_user(matches: DataFrame, stages: Sequence[str]) -> DataFrame:
    """user_hash, slices, values: the whole numbers of every stage, side by side, as `resampled_sums` takes them."""
    weight, effect, clicked = F.col("weight"), F.col("effect"), F.col("clicked")
    parts = {
        "weight": _whole(weight),
        "square": _whole(weight * weight, _SQUARE_UNIT),
        "examined": _whole(weight * effect),
        "clicked": _whole(weight * clicked),
        "effect": _whole(effect),
        "clicks": _whole(clicked),
    }
    counts: Mapping[str, Column] = {"users": F.lit(1).cast("bigint"), "matches": F.count("*")}
    added = [counts[name] if name in counts else F.sum(parts[name]) for name in _COLUMNS]
    by_stage = matches.groupBy("user_id", "stage").agg(F.array(*added).alias("values"))
    found = F.map_from_entries(F.collect_list(F.struct("stage", "values")))
    nothing = F.array(*([F.lit(0).cast("bigint")] * len(_COLUMNS)))
    user = by_stage.groupBy("user_id").agg(found.alias("found"))
    return user.select(
        F.xxhash64("user_id").alias("user_hash"),
        F.array(F.lit("all")).alias("slices"),
        F.concat(*(F.coalesce(F.col("found")[name], nothing) for name in stages)).alias("values"),
    )


def _whole(value: Column, unit: float = _UNIT) -> Column:
    return F.rint(value * unit).cast("bigint")


def _added(batches: Iterable[pa.RecordBatch], stages: int, resamples: int) -> Array:
    """Sums over partitions and instants, (resamples + 1) x stages x columns."""
    total = np.zeros((resamples + 1, stages * len(_COLUMNS)), dtype=np.int64)
    for batch in batches:
        if batch.num_rows:
            values = batch.column("sums").flatten().to_numpy().reshape(batch.num_rows, -1)
            np.add.at(total, batch.column("resample").to_numpy(), values)
    return total.reshape(resamples + 1, stages, len(_COLUMNS))


def _estimates(sums: Array, stages: Sequence[str], differences: Sequence[tuple[str, str]]) -> Iterator[pa.RecordBatch]:
    """One row per stage with a match, and per difference of two of them."""
    column = {name: sums[:, :, place].astype(np.float64) for place, name in enumerate(_COLUMNS)}
    rates = _ratio(column["clicked"], column["examined"]), _ratio(column["clicks"], column["effect"])
    squares = column["square"][0] / _SQUARE_UNIT
    ess = _ratio((column["weight"][0] / _UNIT) ** 2, squares)
    at = {name: place for place, name in enumerate(stages) if sums[0, place, 0] > 0}
    for name, place in at.items():
        counts = (ess[place], sums[0, place, 1], sums[0, place, 0])
        yield _row(name, (rates[0][:, place], rates[1][:, place]), counts)
    for a, b in differences:
        if a in at and b in at:
            i, j = at[a], at[b]
            lower = (min(ess[i], ess[j]), min(sums[0, i, 1], sums[0, j, 1]), min(sums[0, i, 0], sums[0, j, 0]))
            yield _row(f"{a}-{b}", (rates[0][:, i] - rates[0][:, j], rates[1][:, i] - rates[1][:, j]), lower)


def _row(stage: str, drawn: _Drawn, counts: tuple[float, int, int]) -> pa.RecordBatch:
    ess, matches, users = counts
    cells: dict[str, list[object]] = {"stage": [stage]}
    for names, values in zip((("value", "ci"), ("corrected", "corrected")), drawn, strict=True):
        low, high = _ends(values[1:], int(users))
        cells |= {names[0]: [_finite(values[0])], f"{names[1]}_low": [low], f"{names[1]}_high": [high]}
    cells |= {"ess": [float(ess)], "matches": [int(matches)], "users": [int(users)]}
    order = [part.split()[0] for part in _ESTIMATES.split(", ")]
    types = {"string": pa.string(), "double": pa.float64(), "bigint": pa.int64()}
    kinds = dict(part.split() for part in _ESTIMATES.split(", "))
    return pa.RecordBatch.from_arrays([pa.array(cells[name], types[kinds[name]]) for name in order], names=order)


def _ends(drawn: Array, users: int) -> tuple[float | None, float | None]:
    """The 2.5th and 97.5th percentile; none for a single user."""
    defined = drawn[~np.isnan(drawn)]
    if users < 2 or not len(defined):
        return None, None
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
