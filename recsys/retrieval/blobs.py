"""From small frames to arrays that executors share: collected as Arrow, broadcast once, below a stated limit."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

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
