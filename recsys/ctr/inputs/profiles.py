"""How the inputs of a model are distributed: bins fitted in training, and the counts of other rows in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from recsys.ctr.inputs.bins import BINNED, count_bins
from recsys.ctr.inputs.passes import ROWS, quantile_boundaries
from recsys.ctr.inputs.seen import Profile
from recsys.ctr.inputs.spec import FittedInput

BINS = 10
"""Deciles of a number; the most frequent values of a category."""


def profile(
    item: FittedInput, stats: Row, numbers: Sequence[tuple[float, int]], values: Sequence[tuple[str, int]]
) -> Profile:
    """Return the bins of an input and the shares of the training rows in them.

    Parameters
    ----------
    numbers : sequence of (float, int)
        Of a number: rounded values and their counts, smallest first.
    values : sequence of (str, int)
        Of a category: at most `BINS` frequent values and their counts.
    """
    rows, known = stats[ROWS], stats[f"{item.name}__known"]
    if item.kind == "numeric":
        edges = quantile_boundaries(numbers, BINS)
        counts = [0] * (len(edges) + 1)
        for value, n in numbers:
            counts[sum(value >= edge for edge in edges)] += n
        return Profile(item.name, _shares([rows - known, *counts], rows), edges)
    if item.kind == "categorical":
        top = [n for _, n in values]
        counts = [rows - known, *top, known - sum(top)]
        return Profile(item.name, _shares(counts, rows), values=tuple(value for value, _ in values))
    filled = known if item.kind == "vector" else stats[f"{item.name}__filled"]
    return Profile(item.name, _shares([rows - filled, filled], rows))


def _shares(counts: Sequence[int], rows: int) -> tuple[float, ...]:
    return tuple(float(f"{count / rows:.6g}") for count in counts)


def counted(df: DataFrame, inputs: Sequence[FittedInput], profiles: Mapping[str, Profile]) -> dict[str, list[int]]:
    """Count rows in the bins of each input, in one query: what reaches the driver is one count per bin."""
    wanted, bins = [item for item in inputs if item.name in profiles], dict(profiles)
    out = {name: [0] * len(found.shares) for name, found in profiles.items()}
    if not wanted:
        return out

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return count_bins(batches, wanted, bins)

    sources = df.select(*dict.fromkeys(item.source for item in wanted))
    for row in sources.mapInArrow(count, BINNED).groupBy("name", "bin").agg(F.sum("n").alias("n")).collect():
        out[row["name"]][row["bin"]] = row["n"]
    return out
