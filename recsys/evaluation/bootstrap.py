"""Intervals by a Poisson bootstrap over users, in one pass and without gathering users.

Each resample gives every user an independent Poisson(1) weight (Chamandy et al., "Estimating uncertainty for massive
data streams", 2012), here drawn from a hash of the user, the resample and a seed. A resample's figure is the weighted
mean sum(w x) / sum(w); the 95 % interval is from the 2.5th to the 97.5th percentile of the resamples' figures.

- The weight belongs to the user, not to the list: the same in every stage. The difference of two stages within a
  resample is therefore a paired one, and its interval is valid for the difference.
- A partition adds up sums per resample; what travels is resamples x figures, however many users there are.
- Figures are added as whole multiples of 2^-30, so that neither partitions nor the order of rows can change a bit.

Percentile intervals are a little too narrow below some thirty users; the number of users stands beside each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from recsys.arrow import Array
from recsys.evaluation.metrics import Measure

UNIT = float(2**30)
_CHUNK = 2000
"""Users whose weights are in memory at once."""


def _poisson_table(size: int = 65536) -> Array:
    """Poisson(1) quantiles at `size` equally likely points."""
    pmf = [math.exp(-1.0) / math.factorial(n) for n in range(12)]
    bounds = np.rint(np.cumsum(pmf) * size).astype(np.int64)
    return np.searchsorted(bounds, np.arange(size), side="right").astype(np.float64)


_TABLE = _poisson_table()


def poisson_weights(user_hash: Array, resamples: int, seed: int) -> Array:
    """Weights of users in resamples, users as columns. Row 0 is the sample itself: all ones.

    Parameters
    ----------
    user_hash : int64 array
        A 64-bit hash of the user id.

    Returns
    -------
    float array, (resamples + 1) x users
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        streams = (np.arange(1, resamples + 1, dtype=np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**31 - 1)) * step
        mixed = user_hash.astype(np.int64).view(np.uint64)[None, :] ^ _mix(streams)[:, None]
        mixed = _mix(mixed)
    weights = np.ones((resamples + 1, len(user_hash)))
    weights[1:] = _TABLE[(mixed >> np.uint64(48)).astype(np.int64)]
    return weights


def _mix(value: Array) -> Array:
    """Finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = value ^ (value >> np.uint64(31))
    return mixed


def pack(figures: Array, chosen: Sequence[Measure]) -> Array:
    """Turn figures (lists x measures, NaN where not defined) into whole numbers that can be added.

    Columns: a one; each figure in units of 2^-30; then, for each conditional measure, whether it is defined.
    """
    numerators = np.rint(np.nan_to_num(figures, nan=0.0) * UNIT).astype(np.int64)
    defined = [column for column, measure in enumerate(chosen) if measure.conditional]
    flags = (~np.isnan(figures[:, defined])).astype(np.int64)
    return np.concatenate([np.ones((len(figures), 1), dtype=np.int64), numerators, flags], axis=1)


def unpack(sums: Array, chosen: Sequence[Measure]) -> Array:
    """Means out of sums of packed rows (… x packed columns → … x measures); NaN where no row counts."""
    count = counted(sums, chosen).astype(np.float64)
    total = sums[..., 1 : 1 + len(chosen)] / UNIT
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def counted(sums: Array, chosen: Sequence[Measure]) -> Array:
    """Over how many rows each measure is a mean: all, or those for which it is defined (… x measures)."""
    below = np.zeros(len(chosen), dtype=np.int64)
    conditional = [column for column, measure in enumerate(chosen) if measure.conditional]
    below[conditional] = 1 + len(chosen) + np.arange(len(conditional))
    found: Array = sums[..., below]
    return found


def resampled_sums(batches: Iterable[pa.RecordBatch], *, resamples: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Add up packed rows per resample within one partition (a `mapInArrow` kernel).

    Rows in: user_hash bigint, slices array<string>, values array<bigint> (all stages of a user side by side).
    Rows out: slices, resample (0: the sample itself), sums array<bigint>; one per set of slices and resample.
    """
    sums: dict[tuple[str, ...], Array] = {}
    for batch in batches:
        if batch.num_rows == 0:
            continue
        hashes = batch.column("user_hash").to_numpy()
        lists = batch.column("values")
        values = lists.flatten().to_numpy().reshape(batch.num_rows, -1).astype(np.float64)
        encoded = [tuple(slices) for slices in batch.column("slices").to_pylist()]
        for start in range(0, batch.num_rows, _CHUNK):
            part = slice(start, start + _CHUNK)
            weights = poisson_weights(hashes[part], resamples, seed)
            names = sorted(set(encoded[part]))
            index = {name: number for number, name in enumerate(names)}
            member = np.array([index[name] for name in encoded[part]])
            for name in names:
                rows = np.flatnonzero(member == index[name])
                # Whole numbers below 2^53 in doubles: the product is exact.
                added = np.rint(weights[:, rows] @ values[part][rows]).astype(np.int64)
                sums[name] = sums[name] + added if name in sums else added
    for name, total in sums.items():
        yield pa.RecordBatch.from_pydict(
            {
                "slices": pa.array([list(name)] * len(total), pa.list_(pa.string())),
                "resample": pa.array(np.arange(len(total)), pa.int32()),
                "sums": _rows(total),
            }
        )


def intervals(
    batches: Iterable[pa.RecordBatch],
    *,
    stages: Sequence[str],
    differences: Sequence[tuple[str, str]],
    chosen: Sequence[Measure],
    resamples: int,
) -> Iterator[pa.RecordBatch]:
    """Turn sums into figures with intervals (a `mapInArrow` kernel; all rows of a slice in one partition).

    Rows in: slice, resample, sums. Rows out: stage, slice, metric, k, value, ci_low, ci_high, n. A difference `a-b`
    stands as a stage of that name; the stage of no other. `n` counts the users that a figure is over, in a difference
    those of the side with fewer.
    """
    sums: dict[str, Array] = {}
    for batch in batches:
        lists = batch.column("sums")
        for name in set(batch.column("slice").to_pylist()):
            rows = np.flatnonzero(np.array(batch.column("slice").to_pylist()) == name)
            values = lists.take(pa.array(rows)).flatten().to_numpy().reshape(len(rows), -1)
            if name not in sums:
                sums[name] = np.zeros((resamples + 1, values.shape[1]), dtype=np.int64)
            np.add.at(sums[name], batch.column("resample").to_numpy()[rows], values)
    for name in sorted(sums):
        packed = sums[name].reshape(resamples + 1, len(stages), -1)
        figures = {stage: unpack(packed[:, number], chosen) for number, stage in enumerate(stages)}
        users = {stage: counted(packed[0, number], chosen) for number, stage in enumerate(stages)}
        for a, b in differences:
            figures[f"{a}-{b}"] = figures[a] - figures[b]
            users[f"{a}-{b}"] = np.minimum(users[a], users[b])
        for stage, drawn in figures.items():
            yield _figures(stage, name, drawn, chosen, users[stage])


def _figures(stage: str, name: str, drawn: Array, chosen: Sequence[Measure], users: Array) -> pa.RecordBatch:
    low, high = np.full(len(chosen), np.nan), np.full(len(chosen), np.nan)
    for column in range(len(chosen)):
        defined = drawn[1:, column][~np.isnan(drawn[1:, column])]
        if users[column] >= 2 and len(defined):
            low[column], high[column] = np.percentile(defined, (2.5, 97.5))
    return pa.RecordBatch.from_pydict(
        {
            "stage": [stage] * len(chosen),
            "slice": [name] * len(chosen),
            "metric": [measure.metric for measure in chosen],
            "k": pa.array([measure.k for measure in chosen], pa.int32()),
            "value": pa.array(drawn[0], from_pandas=True),
            "ci_low": pa.array(low, from_pandas=True),
            "ci_high": pa.array(high, from_pandas=True),
            "n": pa.array(users, pa.int64()),
        }
    )


def _rows(values: Array) -> pa.ListArray:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).ravel()))
