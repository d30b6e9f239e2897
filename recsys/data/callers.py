"""Frames that come from outside: their columns and id types in, the project's own names inside, and back again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys.data.sql import quote
from recsys.errors import DataError, EnvironmentProblem

AnyFrame = DataFrame | pd.DataFrame
"""What callers may hand in."""

_ID_TYPES = (T.StringType, T.IntegralType, T.DecimalType, T.DateType, T.BooleanType)
_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"


def spark_frame(frame: AnyFrame, *, like: DataFrame | None = None) -> DataFrame:
    """Return a Spark frame; a pandas frame is sent to the running session.

    Parameters
    ----------
    frame : DataFrame or pandas.DataFrame
    like : DataFrame, optional
        A frame of the session to use; by default the active one.

    Raises
    ------
    EnvironmentProblem
        If there is no session for a pandas frame.
    DataError
        If the value is no frame.
    """
    if not isinstance(frame, pd.DataFrame):
        # By its ways and not by its class: frames of Spark Connect have another one.
        if hasattr(frame, "sparkSession"):
            return frame
        raise DataError(f"expected a Spark or pandas DataFrame, found a {type(frame).__name__}")
    spark = like.sparkSession if like is not None else SparkSession.getActiveSession()
    if spark is None:
        raise EnvironmentProblem("a pandas frame needs a running Spark session; start one with recsys.session()")
    # pandas has no integer null: what it shows as NaN is a missing value.
    objects: Any = frame.astype(object)
    return spark.createDataFrame(objects.where(frame.notna(), None), _schema(frame))


def _schema(frame: pd.DataFrame) -> T.StructType:
    """Types of the columns as pandas has them; objects are texts."""
    fields = []
    for name, kind in frame.dtypes.items():
        if pd.api.types.is_bool_dtype(kind):
            found: T.DataType = T.BooleanType()
        elif pd.api.types.is_integer_dtype(kind):
            found = T.LongType()
        elif pd.api.types.is_float_dtype(kind):
            found = T.DoubleType()
        elif pd.api.types.is_datetime64_any_dtype(kind):
            found = T.TimestampType() if getattr(kind, "tz", None) else T.TimestampNTZType()
        else:
            found = T.StringType()
        fields.append(T.StructField(str(name), found))
    return T.StructType(fields)


@dataclass(frozen=True)
class Ids:
    """The caller's id columns, and their types as Spark names them.

    Attributes
    ----------
    user, item : str
        Columns of the caller's frames. Results are named `user_id` and `item_id`.
    user_type, item_type : str
        `bigint`, `string`, …
    """

    user: str = "user_id"
    item: str = "item_id"
    user_type: str = "string"
    item_type: str = "string"

    @classmethod
    def found_in(cls, frame: DataFrame, *, user: str, item: str) -> Ids:
        """Read the types off a frame.

        Raises
        ------
        DataError
            If a column is missing, or of a type that can't be an id.
        """
        return cls(user, item, _id_type(frame, user), _id_type(frame, item))

    def adopt(self, frame: DataFrame) -> DataFrame:
        """Return a frame with `user_id` and `item_id` as texts, wherever it has the caller's columns or these."""
        names = {self.user: "user_id", self.item: "item_id"}
        taken = [name for name in names if name in frame.columns and names[name] not in frame.columns]
        renamed = frame.withColumnsRenamed({name: names[name] for name in taken})
        return renamed.withColumns(
            {name: F.col(name).cast("string") for name in ("user_id", "item_id") if name in renamed.columns}
        )

    def restore(self, frame: DataFrame) -> DataFrame:
        """Give `user_id` and `item_id` the caller's types again."""
        kinds = {"user_id": self.user_type, "item_id": self.item_type}
        return frame.withColumns(
            {name: F.col(name).cast(kind) for name, kind in kinds.items() if name in frame.columns}
        )


def column_of(frame: DataFrame, name: str) -> Column:
    """A column by its name, dots and all.

    Raises
    ------
    DataError
        If the frame lacks it.
    """
    if name not in frame.columns:
        raise DataError(f"the frame has no column {name}; it has {', '.join(frame.columns)}")
    return F.col(quote(name))


def _id_type(frame: DataFrame, name: str) -> str:
    column_of(frame, name)
    kind = frame.schema[name].dataType
    if not isinstance(kind, _ID_TYPES):
        raise DataError(
            f"column {name} is {kind.simpleString()}; an id is a text, a whole number or a date: cast it first"
        )
    return kind.simpleString()


def utc(frame: DataFrame, name: str) -> Column:
    """A column of times as UTC instants, whatever zone the session is in.

    A `TIMESTAMP` is an instant already. A `TIMESTAMP_NTZ`, a date, and a text without an offset are read as UTC. What
    can't be read is null.

    Raises
    ------
    DataError
        If the column holds no times.
    """
    value, kind = column_of(frame, name), frame.schema[name].dataType
    if isinstance(kind, T.TimestampType):
        return value
    if not isinstance(kind, (T.TimestampNTZType, T.DateType, T.StringType)):
        hint = f"; make it one with timestamp_seconds({name})" if isinstance(kind, T.NumericType) else ""
        raise DataError(f"column {name} is {kind.simpleString()}, which is no time{hint}")
    # Through text with an offset: any other way would read the wall clock in the session's zone.
    text = F.trim(value.cast("string"))
    dated = F.when(F.length(text) == 10, F.concat(text, F.lit("T00:00:00Z")))
    return _instant(dated.when(text.rlike(_OFFSET), text).otherwise(F.concat(text, F.lit("Z"))))


def _instant(text: Column) -> Column:
    # Since Spark 4.0. Asked of the class, because a column of 3.5 takes any name for that of a field.
    if hasattr(Column, "try_cast"):
        return text.try_cast("timestamp")
    return text.cast("timestamp")
