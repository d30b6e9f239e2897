"""Columns of any Arrow type into texts, numbers and hashed ids, the same in training and in scoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import DataError

_HASH_KEY = "recsys-spec-v1!!"

LOGGED = ("log_zscore", "log")
"""Transforms that take the logarithm of 1 + a number first, with its sign."""

Array = npt.NDArray[Any]


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array, copied only if it lies in several."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which values are null."""
    return np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_text(column: pa.Array, name: str) -> pa.Array:
    """Cast whole numbers, booleans, dates and texts to strings, written as Spark's cast writes them.

    Raises
    ------
    DataError
        For types that can be written in more than one way, such as floating-point numbers.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind):
        return column
    fits = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind) or pa.types.is_null(kind)
    if fits or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    raise DataError(f"input {name}: a categorical column must hold texts, whole numbers, booleans or dates, not {kind}")


def as_numbers(column: pa.Array, name: str) -> npt.NDArray[np.float64]:
    """Cast to float64; null becomes NaN.

    Raises
    ------
    DataError
        If the column does not hold numbers.
    """
    kind = column.type
    plain = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not (plain or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise DataError(f"input {name}: a numeric column must hold numbers, not {kind}")
    values = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def hash_codes(text: pa.Array) -> npt.NDArray[np.uint64]:
    """Hash texts, none of them null, to 64 bits, the same in every process."""
    encoded = text.dictionary_encode()
    values = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    if len(values) == 0:
        return np.zeros(0, dtype=np.uint64)
    hashes = pd.util.hash_array(values, hash_key=_HASH_KEY, categorize=False)
    codes: npt.NDArray[np.uint64] = hashes[encoded.indices.to_numpy(zero_copy_only=False)]
    return codes


def hashed(text: pa.Array, *, buckets: int, first: int, null: int) -> Array:
    """Hash texts to the ids `first` to `first + buckets - 1`; nulls get the id `null`."""
    encoded = text.dictionary_encode()
    values = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    if len(values) == 0:
        return np.full(len(text), null, dtype=np.int32)
    hashes = pd.util.hash_array(values, hash_key=_HASH_KEY, categorize=False)
    ids = (hashes % np.uint64(buckets)).astype(np.int32) + first
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return np.where(nulls(text), null, ids[codes]).astype(np.int32)
