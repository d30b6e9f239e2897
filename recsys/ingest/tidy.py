"""What a mapping asks to be done with the values of a column: spelling, numbers, words that mean the same, gaps.

Only what can be said of each row alone: a mean of the batch would depend on how deliveries are cut. What is fitted on
many rows (means, medians, limits) belongs to the inputs of the ranker, where it is fitted on the past alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.functions import pandas_udf

from recsys.ingest.columns import ColumnMapping
from recsys.ingest.values import SPACES

MISSING_SUFFIX: Final = "_missing"
"""What the attribute of a flagged column is called, after its name."""
_NUMBER_WITH_COMMA: Final = r"^[+-]?[0-9][0-9. ]*,?[0-9]*$|^[+-]?,[0-9]+$"


def tidied(value: Column, kind: T.DataType, mapping: ColumnMapping) -> Column:
    """Return a value as its mapping wants it.

    In this order: Unicode's form, decimal comma, case, synonyms, the constant for a missing one.
    """
    if isinstance(kind, T.StringType):
        if mapping.normalize is not None:
            value = normalized(value)
        if mapping.decimal == ",":
            plain = F.translate(F.regexp_replace(value, "[. \u00a0\u202f]", ""), ",", ".")
            value = F.when(value.rlike(_NUMBER_WITH_COMMA), plain).otherwise(value)
        if mapping.case is not None:
            value = F.lower(value) if mapping.case == "lower" else F.upper(value)
        if mapping.synonyms:
            value = _replaced(value, mapping.synonyms)
    if mapping.missing == "constant":
        value = F.coalesce(value, F.lit(mapping.fill).cast(kind))
    return value


def normalized(value: Column) -> Column:
    """Return a text in Unicode's form NFKC, its ends trimmed; null if nothing is left.

    Spark has no function for it, so it is Arrow's, in batches of a Python worker.
    """

    def nfkc(texts: pd.Series) -> pd.Series:
        form = pc.utf8_normalize(pa.array(texts, pa.string(), from_pandas=True), form="NFKC")
        trimmed = pc.utf8_trim(form, characters=SPACES)
        return pd.Series(pc.if_else(pc.equal(trimmed, ""), None, trimmed).to_pandas())

    vectorized: Any = pandas_udf
    found: Column = vectorized(nfkc, T.StringType())(value)
    return found


def _replaced(value: Column, synonyms: Mapping[str, str]) -> Column:
    pairs = [F.lit(text) for pair in sorted(synonyms.items()) for text in pair]
    return F.coalesce(F.element_at(F.create_map(*pairs), value), value)


def dropped(missing: Mapping[str, Column], columns: Mapping[str, ColumnMapping]) -> Column:
    """Return whether a row is to be skipped: a column of `missing: drop` has no value."""
    found = F.lit(False)
    for name, mapping in columns.items():
        if mapping.missing == "drop":
            found = found | missing[name]
    return found


def flags(columns: Mapping[str, ColumnMapping]) -> Sequence[str]:
    """Return the columns whose missing values are flagged, in their order."""
    return [name for name, mapping in columns.items() if mapping.flag]
