"""Arrow and numpy helpers for kernels: columns into arrays, and sorted rows into whole groups.

Rows arrive at a kernel sorted by a key within a partition. A group that a batch cuts is carried over to the next one,
so that the kernel sees it whole and never holds more than a few batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

Array = npt.NDArray[Any]

MEGABYTE = 1 << 20


def collect_arrow(frame: DataFrame) -> pa.Table:
    """Bring a frame to the driver as one Arrow table.

    Only for what is about to be broadcast, after its size has been compared with the limit.
    """
    if hasattr(frame, "toArrow"):
        return frame.toArrow().combine_chunks()
    # Spark 3.5 has no public way around pandas, which knows no type of a column without rows.
    from pyspark.sql.pandas.types import to_arrow_schema

    return pa.Table.from_pandas(frame.toPandas(), schema=to_arrow_schema(frame.schema), preserve_index=False)


def tiles_for(n_bytes: float, limit_mb: float) -> int:
    """Into how many parts something must be cut for each to stay below the broadcast limit; 1 where it fits whole."""
    return max(1, math.ceil(n_bytes / (limit_mb * MEGABYTE)))


def flat(column: pa.Array | pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """Split a list column into how many values each row holds (a null list holds none) and all the values in a row."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64), array.flatten()


def matrix(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """Turn a column of equally long float lists into a dense, row-major matrix of shape (rows, length)."""
    lengths, values = flat(column)
    width = int(lengths[0]) if len(lengths) else 0
    dense = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return np.ascontiguousarray(dense.reshape(len(lengths), width))


def whole_groups(batches: Iterable[pa.RecordBatch], key: str, *, rows: int = 200_000) -> Iterator[pa.Table]:
    """Yield tables of about `rows` rows whose groups (equal, adjacent values of `key`) are all complete.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Rows in which equal keys are adjacent, as after a sort within the partition.
    rows : int
        Rows gathered before a table is given out; a single larger group is still kept whole.
    """
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        held.append(batch)
        count += batch.num_rows
        if count < rows:
            continue
        table = pa.Table.from_batches(held)
        cut = int(group_starts(table.column(key))[-1])
        if cut:
            yield table.slice(0, cut)
        rest = table.slice(cut).combine_chunks()
        held, count = rest.to_batches(), rest.num_rows
    if held:
        yield pa.Table.from_batches(held)


def group_starts(column: pa.ChunkedArray) -> Array:
    """Row numbers at which a new value begins, the first row included.

    >>> group_starts(pa.chunked_array([["a", "a", "b"]])).tolist()
    [0, 2]
    """
    if len(column) == 0:
        return np.zeros(0, dtype=np.int64)
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    changed = pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy(zero_copy_only=False)
    return np.concatenate(([0], np.flatnonzero(changed) + 1)).astype(np.int64)


def group_of_rows(starts: Array, rows: int) -> Array:
    """Number of the group that each row belongs to, from 0."""
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, rows)))


def ranks_within(group: Array, starts: Array, values: Array) -> Array:
    """Dense ranks from 1 of `values` within each group, smallest first; equal values keep the order of the rows."""
    order = np.lexsort((values, group))
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values)) - starts[group[order]] + 1
    return ranks
