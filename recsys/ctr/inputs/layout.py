"""Where encoded inputs lie in two matrices, ids and numbers: a batch is then two slices and one gather per width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ctr.inputs.spec import FittedInput, FittedSpec
from recsys.errors import DataError

LISTS = ("sequence", "multi_hot")
"""Kinds of inputs that are several ids, of which a network gets the mean."""


@dataclass(frozen=True)
class Field:
    """The columns `start` to `stop` (within its group) of one input."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Group:
    """All embedding tables of one width, stacked into one variable.

    Attributes
    ----------
    start, stop : int
        Columns of the id matrix that belong to the group: single ids first, then sequences and sets.
    offsets : tuple of int
        For each of these columns, the first row of its table within the stacked variable.
    rows : int
        Rows of the stacked variable.
    l2 : tuple of float or None
        For each of these columns, the L2 of its input where it has one of its own.
    """

    width: int
    start: int
    stop: int
    rows: int
    offsets: tuple[int, ...]
    singles: tuple[Field, ...]
    sequences: tuple[Field, ...]
    l2: tuple[float | None, ...] = ()

    def column_l2(self, default: float) -> npt.NDArray[np.float32]:
        """Return the L2 of each column of ids."""
        return np.array([default if value is None else value for value in self.l2], dtype=np.float32)

    def row_l2(self, default: float) -> npt.NDArray[np.float32]:
        """Return the L2 of each row of the stacked variable: that of the first input that uses its table."""
        out = np.full(self.rows, default, dtype=np.float32)
        starts = sorted(set(self.offsets))
        for start, stop in zip(starts, [*starts[1:], self.rows], strict=True):
            out[start:stop] = self.column_l2(default)[self.offsets.index(start)]
        return out

    @property
    def fields(self) -> int:
        """Number of inputs."""
        return len(self.singles) + len(self.sequences)


@dataclass(frozen=True)
class Packed:
    """Encoded rows: ids int32 of shape (n, layout.ids), numbers float32 of shape (n, layout.numbers)."""

    ids: npt.NDArray[np.int32]
    dense: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """The place of each input."""

    groups: tuple[Group, ...]
    dense: tuple[str, ...]

    @classmethod
    def of(cls, spec: FittedSpec) -> Layout:
        """Lay out the inputs of a fitted spec.

        Raises
        ------
        DataError
            If the spec has no input at all.
        """
        embedded = [item for item in spec.inputs if item.table is not None]
        widths = sorted({spec.table(item.table).width for item in embedded if item.table is not None})
        groups: list[Group] = []
        start = 0
        for width in widths:
            group = _group(spec, embedded, width, start)
            groups.append(group)
            start = group.stop
        dense: list[str] = []
        for item in spec.inputs:
            dense += item.dense
        if not groups and not dense:
            raise DataError(
                "no model input is left: every column of the feature spec is null or constant in the training split"
            )
        return cls(groups=tuple(groups), dense=tuple(dense))

    @property
    def ids(self) -> int:
        """Columns of the id matrix."""
        return self.groups[-1].stop if self.groups else 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one encoded row: label, two weights and the code of its list included."""
        return 4 * (self.ids + len(self.dense) + 3) + 8

    def pack(self, encoded: dict[str, npt.NDArray[Any]], rows: int) -> Packed:
        """Stack what :meth:`FittedSpec.encode` returned for `rows` rows."""
        ids = np.zeros((rows, self.ids), dtype=np.int32)
        for group in self.groups:
            for field in group.singles:
                ids[:, group.start + field.start] = encoded[field.name]
            for field in group.sequences:
                ids[:, group.start + field.start : group.start + field.stop] = encoded[field.name]
        dense = np.zeros((rows, len(self.dense)), dtype=np.float32)
        for index, name in enumerate(self.dense):
            dense[:, index] = encoded[name]
        return Packed(ids=ids, dense=dense)


def _group(spec: FittedSpec, embedded: list[FittedInput], width: int, start: int) -> Group:
    mine = [item for item in embedded if item.table is not None and spec.table(item.table).width == width]
    ordered = [i for i in mine if i.kind not in LISTS] + [i for i in mine if i.kind in LISTS]
    first_row: dict[str, int] = {}
    rows = 0
    for item in ordered:
        if item.table is not None and item.table not in first_row:
            first_row[item.table] = rows
            rows += spec.table(item.table).size
    singles: list[Field] = []
    sequences: list[Field] = []
    offsets: list[int] = []
    l2: list[float | None] = []
    for item in ordered:
        field = Field(item.name, len(offsets), len(offsets) + item.length)
        (sequences if item.kind in LISTS else singles).append(field)
        offsets += [first_row[item.table or ""]] * item.length
        l2 += [item.l2] * item.length
    return Group(
        width, start, start + len(offsets), rows, tuple(offsets), tuple(singles), tuple(sequences), tuple(l2)
    )  # fmt: skip
