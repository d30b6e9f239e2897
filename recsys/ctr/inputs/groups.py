"""What stands for a null number by group: the mean, median or most frequent number of the rows that share a category.

The groups that reach the driver are bounded: the `GROUPS` largest ones of each input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.ctr.inputs.bins import rounded
from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.inputs.values import as_text

GROUPS: Final = 1000
"""Groups of one input that get a number of their own, those with the most known numbers."""
_COUNTED: Final = "name string, by string, value double, n bigint"

Fills = tuple[tuple[str, ...], tuple[float, ...]]
"""Groups in their order, and the number of each."""


def group_fills(df: DataFrame, items: Sequence[InputSpec]) -> dict[str, Fills]:
    """Fit what stands for null in each group of the inputs that name one (`by`).

    Numbers are on the scale of their transform and rounded to three digits, as those of `scaled` are. A group with
    fewer than the input's `min_count` known numbers gets none, and the number of all rows stands for it.

    Returns
    -------
    dict
        Name of the input, to its groups in order of their text and their numbers. One pass over the rows.
    """
    wanted = [item for item in items if item.by is not None]
    if not wanted:
        return {}

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from (_counted(item, batch) for item in wanted)

    sources = df.select(*dict.fromkeys(name for item in wanted for name in item.columns))
    counted = sources.mapInArrow(count, _COUNTED).groupBy("name", "by", "value").agg(F.sum("n").alias("n"))
    rows = _largest(counted, wanted).select("name", "by", _statistic(wanted).alias("fill")).collect()
    found: dict[str, list[tuple[str, float]]] = {item.name: [] for item in wanted}
    for row in rows:
        found[row["name"]].append((row["by"], row["fill"]))
    return {
        name: (tuple(by for by, _ in sorted(pairs)), tuple(fill for _, fill in sorted(pairs)))
        for name, pairs in found.items()
    }


def _counted(item: InputSpec, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Count the known numbers of a batch by group: rows of `_COUNTED`, a number of one group in a row of its own."""
    assert item.by is not None
    values, groups = rounded(item, batch.column(item.source)), as_text(batch.column(item.by), item.name)
    known = pa.array(~np.isnan(values))
    table = pa.table({"by": groups.filter(known), "value": pa.array(values).filter(known)})
    table = table.filter(table.column("by").is_valid()).group_by(["by", "value"]).aggregate([([], "count_all")])
    columns = [pa.array([item.name] * table.num_rows, pa.string()), table.column("by"), table.column("value")]
    arrays = [*columns, table.column("count_all").cast(pa.int64())]
    chunks = [one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one for one in arrays]
    return pa.RecordBatch.from_arrays(chunks, names=["name", "by", "value", "n"])


def _largest(counted: DataFrame, items: Sequence[InputSpec]) -> DataFrame:
    """One row per group that is large enough: `name`, `by`, its counted values and how many there are."""
    least = F.create_map(*(F.lit(part) for item in items for part in (item.name, item.min_count)))
    values = F.array_sort(F.collect_list(F.struct("value", "n"))).alias("values")
    groups = counted.groupBy("name", "by").agg(values, F.sum("n").alias("total"))
    order = W.partitionBy("name").orderBy(F.desc("total"), "by")
    ranked = groups.where(F.col("total") >= least[F.col("name")]).select("*", F.row_number().over(order).alias("place"))
    return ranked.where(F.col("place") <= GROUPS)


def _statistic(items: Sequence[InputSpec]) -> Column:
    """The statistic that the input of a row asks for, over its sorted `values`."""
    no_value, nothing = F.lit(None).cast("double"), F.lit(0).cast("bigint")
    total = F.col("total")
    mean = F.aggregate("values", F.lit(0.0), lambda sum_, one: sum_ + one["value"] * one["n"]) / total
    # The smallest value that half of the numbers do not exceed.
    start = F.struct(nothing.alias("below"), no_value.alias("found"))
    median = F.aggregate(
        "values",
        start,
        lambda state, one: F.struct(
            (state["below"] + one["n"]).alias("below"),
            F.coalesce(
                state["found"], F.when((state["below"] + one["n"]) * 2 >= total, one["value"])
            ).alias("found"),
        ),
    )["found"]  # fmt: skip
    first = F.array_sort(
        F.transform("values", lambda one: F.struct((-one["n"]).alias("n"), one["value"].alias("value")))
    )
    statistics = {"mean": mean, "median": median, "most_frequent": F.get(first, F.lit(0))["value"]}
    chosen = no_value
    for item in items:
        chosen = F.when(F.col("name") == item.name, statistics[item.missing]).otherwise(chosen)
    return chosen
