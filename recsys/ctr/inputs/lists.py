"""Columns of lists into matrices of one width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.ctr.inputs.values import Array, nulls
from recsys.errors import DataError


@dataclass(frozen=True)
class Lists:
    """A column of lists: all values one after another, and where those of each row lie.

    Attributes
    ----------
    starts, lengths : array of shape (n,)
        Of each row within the values; the length of null is 0.
    null : array of shape (n,)
        Which rows are null.
    """

    values: pa.Array
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    null: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, column: pa.Array, name: str) -> Lists:
        """Take a column apart.

        Raises
        ------
        DataError
            If it holds no lists.
        """
        kind = column.type
        if pa.types.is_fixed_size_list(kind):
            column = column.cast(pa.list_(kind.value_type))
        elif not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise DataError(f"input {name}: its column holds {kind}, a sequence, a set or a vector needs a list")
        null = nulls(column)
        if len(column) == 0:
            nothing = np.zeros(0, dtype=np.int64)
            return cls(column.values.slice(0, 0), nothing, nothing, null)
        offsets = np.asarray(column.offsets).astype(np.int64)
        first, last = int(offsets[0]), int(offsets[-1])
        lengths = np.where(null, 0, np.diff(offsets))
        return cls(column.values.slice(first, last - first), offsets[:-1] - first, lengths, null)

    def first(self, ids: Array, length: int, *, empty: int) -> Array:
        """Return the first ids of each row, (n, length)."""
        out = np.full((len(self.starts), length), empty, dtype=np.int32)
        used = np.arange(length)[None, :] < np.minimum(self.lengths, length)[:, None]
        places = self.starts[:, None] + np.arange(length)[None, :]
        out[used] = ids[places[used]]
        return out

    def distinct(self, ids: Array, length: int, *, empty: int, last: int) -> Array:
        """Return the ids of each row as a set, smallest first, (n, length).

        Ids of a vocabulary grow as their frequency falls, so where there are more than `length`, the rarest are left
        out, and before them the id `last`. The order and the repeats of values do not matter.
        """
        rows = np.repeat(np.arange(len(self.starts)), self.lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        mine = ids[np.repeat(self.starts, self.lengths) + within].astype(np.int64)
        order = np.where(mine == last, np.iinfo(np.int32).max, mine)
        keys = np.unique(np.stack([rows, order])[:, mine != empty], axis=1)
        rows, order = keys[0], keys[1]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        out = np.full((len(self.starts), length), empty, dtype=np.int32)
        fits = place < length
        out[rows[fits], place[fits]] = np.where(order == np.iinfo(np.int32).max, last, order)[fits]
        return out

    def matrix(self, numbers: npt.NDArray[np.float64], width: int, *, name: str) -> npt.NDArray[np.float64]:
        """Return the numbers of each row, (n, width); NaN where the row is null.

        Raises
        ------
        DataError
            If a row has another width.
        """
        wrong = self.lengths[~self.null & (self.lengths != width)]
        if len(wrong):
            raise DataError(
                f"input {name}: the model was trained on vectors of {width} numbers, a row has {int(wrong[0])}"
            )
        out = np.full((len(self.starts), width), np.nan)
        out[~self.null] = numbers[(self.starts[~self.null, None] + np.arange(width)[None, :])]
        return out
