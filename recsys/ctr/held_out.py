"""A table of examples as Parquet shards of two splits."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

SPLIT = "recsys_split"
"""Column of the split, `train` or `valid`, and of the folders that the shards lie in."""
_ORDER = "recsys_order"
_SLOTS = 1_000_000
_ROW_GROUP_BYTES = 8 << 20


def write(
    train: DataFrame, valid: DataFrame | float, directory: str, *, shards: int, group: str | None = None
) -> DataFrame:
    """Write both splits as Parquet shards below a directory, and return what was written.

    Parameters
    ----------
    valid : DataFrame or float
        Rows of their own, or the share of the training rows to hold out. Which ones follows from a hash of their
        values, so that the same rows give the same split, however they are partitioned.
    group : str, optional
        Column of lists: a list is held out whole, lies in one shard, and its rows lie side by side.
    """
    columns = train.columns
    if isinstance(valid, float):
        rows = train.withColumn(_ORDER, _hash_of_row(columns))
        slot = F.pmod(F.xxhash64(F.lit("split"), group or _ORDER), F.lit(_SLOTS))
        rows = rows.withColumn(SPLIT, F.when(slot < int(valid * _SLOTS), "valid").otherwise("train"))
    else:
        rows = train.withColumn(SPLIT, F.lit("train")).unionByName(valid.withColumn(SPLIT, F.lit("valid")))
        rows = rows.withColumn(_ORDER, _hash_of_row([SPLIT, *columns]))
    lists = [F.xxhash64(F.lit("order"), group), F.col(group)] if group else []
    spread = rows.repartition(shards, group or _ORDER).sortWithinPartitions(SPLIT, *lists, _ORDER)
    spread = spread.select(*columns, SPLIT)
    spread.write.option("parquet.block.size", _ROW_GROUP_BYTES).partitionBy(SPLIT).parquet(directory)
    return train.sparkSession.read.schema(spread.schema).parquet(directory)


def _hash_of_row(columns: Sequence[str]) -> Column:
    """Hash the values of a row; a running number distinguishes equal rows."""
    values = F.xxhash64(*columns)
    return F.xxhash64(values, F.row_number().over(W.partitionBy(values).orderBy(*columns)))
