"""Columns from the attributes that a mapping keeps beyond the contract: of users, of items, and of the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.data import AttributeFeature

_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def attribute_columns(attributes: Sequence[AttributeFeature], *, maps: dict[str, Column]) -> dict[str, Column]:
    """Read attributes out of maps of text.

    Parameters
    ----------
    attributes : sequence of AttributeFeature
        Which attributes, and what they hold.
    maps : dict of str to Column
        The map that is valid for a row, for "user", "item" and "context".

    Returns
    -------
    dict of str to Column
        Expressions by column name. Empty text is null, and so is a number that can't be read or is not finite; a
        `multi_hot` column holds the trimmed, distinct values in their order, and is null where there are none.
    """
    return {one.column.name: _read(one, maps[one.of][one.name]) for one in attributes}


def _read(attribute: AttributeFeature, text: Column) -> Column:
    trimmed = F.trim(text)
    if attribute.kind == "multi_hot":
        values = F.transform(F.split(text, f"\\Q{attribute.separator}\\E"), lambda value: F.trim(value))
        found = F.array_distinct(F.filter(values, lambda value: value != ""))
        return F.when(F.size(found) > 0, found)
    if attribute.kind == "numeric":
        number = F.when(trimmed.rlike(_NUMBER), trimmed.cast("double"))
        return F.when(F.abs(number) < float("inf"), number)
    return F.when(trimmed != "", trimmed)
