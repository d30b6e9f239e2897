"""Any labeled click table as training shards: which columns become inputs, and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_schema

from recsys.ctr.held_out import SPLIT
from recsys.ctr.inputs.fit import NUMBER_TYPES, TEXT_TYPES, check_inputs
from recsys.ctr.inputs.settings import InputSpec
from recsys.data.callers import AnyFrame, column_of, spark_frame
from recsys.errors import ConfigError, DataError, EnvironmentProblem, NothingToDo
from recsys.progress import note


@dataclass(frozen=True)
class ExampleColumns:
    """What the columns of a table of examples mean.

    Attributes
    ----------
    label : str
        Column of 0 and 1, or of booleans.
    sample_rate : str, optional
        Column with the probability with which a row was kept; without it, all were.
    group : str, optional
        Column of the list that a row is of: texts, whole numbers, booleans or dates.
    propensity : str, optional
        Column with the probability with which a row was shown; null where it is unknown.
    exclude : tuple of str
        Columns that are not inputs, beside these.
    """

    label: str = "label"
    sample_rate: str | None = None
    group: str | None = None
    propensity: str | None = None
    exclude: tuple[str, ...] = ()

    def inputs(self, frame: DataFrame, *, width: int) -> tuple[InputSpec, ...]:
        """Infer one input per column from its type.

        Strings, whole numbers, booleans and dates become categories, arrays of them sequences, other numbers
        standardized numbers, and arrays of those vectors. Columns of other types are left out, with a note.

        Raises
        ------
        DataError
            If `exclude` names a column that is missing.
        ConfigError
            If no column can be an input, or the name of one has other characters than letters, digits and underscores.
        """
        for name in self.exclude:
            column_of(frame, name)
        taken = {self.label, self.sample_rate, self.group, self.propensity, *self.exclude}
        found = [item for field in frame.schema.fields if field.name not in taken and (item := _input(field, width))]
        if not found:
            raise ConfigError(
                "no column can be an input: beside the label there must be strings, numbers, booleans, dates or arrays"
            )
        return tuple(found)

    def rows(self, frame: DataFrame, inputs: Sequence[InputSpec]) -> DataFrame:
        """Return the columns that are needed, with label and rate as doubles.

        Raises
        ------
        DataError, ConfigError
            If a column is missing or has the wrong type.
        """
        numbers = [name for name in (self.label, self.sample_rate, self.propensity) if name is not None]
        for name in numbers:
            self._check_number(frame, name)
        self._check_group(frame)
        check_inputs(frame.schema, inputs)
        leaking = [item.name for item in inputs if self.label in item.columns]
        if leaking:
            raise ConfigError(f"input {leaking[0]} is made from the label {self.label}; leave it out")
        named = [name for item in inputs for name in item.columns] + ([self.group] if self.group is not None else [])
        sources = dict.fromkeys(name for name in named if name not in numbers)
        return frame.select(
            *(column_of(frame, name) for name in sources),
            *(column_of(frame, name).cast("double").alias(name) for name in numbers),
        )

    def _check_number(self, frame: DataFrame, name: str) -> None:
        column_of(frame, name)
        if not isinstance(frame.schema[name].dataType, NUMBER_TYPES):
            kind = frame.schema[name].dataType.simpleString()
            raise DataError(f"column {name} is {kind}; it must hold numbers{' or booleans' * (name == self.label)}")
        if not _plain(name):
            raise ConfigError(f"column {name!r}: a name has letters, digits and underscores only; rename it")

    def _check_group(self, frame: DataFrame) -> None:
        if self.group is None:
            return
        column_of(frame, self.group)
        kind = frame.schema[self.group].dataType
        if not isinstance(kind, TEXT_TYPES):
            raise DataError(f"column {self.group} is {kind.simpleString()}; it must hold the names of lists")

    def check(self, written: DataFrame, *, min_examples: int) -> None:
        """Check labels, rates and counts of both splits.

        Raises
        ------
        DataError
            If a value is missing or impossible.
        NothingToDo
            If there are too few rows, or all of one class.
        """
        label = F.col(self.label)
        rate = F.lit(1.0) if self.sample_rate is None else F.col(self.sample_rate)
        found = {
            row[SPLIT]: row
            for row in written.groupBy(SPLIT)
            .agg(
                F.count(F.lit(1)).alias("rows"),
                _count(label.isNull() | F.isnan(label)).alias("missing"),
                _count(~label.isin(0.0, 1.0)).alias("wrong"),
                _count(label == 1).alias("positive"),
                _count(~F.coalesce((rate > 0) & (rate <= 1), F.lit(False))).alias("rates"),
            )
            .collect()
        }
        for row in found.values():
            self._check_values(row)
        _check_train(found.get("train"), min_examples)
        _check_valid(found.get("valid"))

    def _check_values(self, row: Row) -> None:
        if row["missing"]:
            raise DataError(
                f"column {self.label} has no value in {row['missing']:,} of {row['rows']:,} {_name(row)} rows; "
                "fill or drop them"
            )
        if row["wrong"]:
            raise DataError(
                f"column {self.label} holds other values than 0 and 1 in {row['wrong']:,} of {row['rows']:,} "
                f"{_name(row)} rows; turn it into 0 and 1"
            )
        if row["rates"]:
            raise DataError(
                f"column {self.sample_rate} holds no probability above 0 and up to 1 in {row['rates']:,} of "
                f"{row['rows']:,} {_name(row)} rows"
            )


def to_spark(frame: AnyFrame) -> DataFrame:
    """Return a Spark frame; the columns of a pandas frame keep their types, lists included.

    Raises
    ------
    EnvironmentProblem
        If there is no session for a pandas frame.
    DataError
        If a column holds values of several types.
    """
    if not isinstance(frame, pd.DataFrame):
        return spark_frame(frame)
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise EnvironmentProblem("a pandas frame needs a running Spark session; start one with recsys.session()")
    try:
        schema = from_arrow_schema(pa.Schema.from_pandas(frame, preserve_index=False))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"a column of the pandas frame holds values of several types: {error}") from None
    plain: Any = frame.astype(object)
    objects = plain.where(frame.notna(), None)
    lists = [field.name for field in schema.fields if isinstance(field.dataType, T.ArrayType)]
    for name in lists:
        objects[name] = [None if value is None else list(value) for value in objects[name]]
    return spark.createDataFrame(objects, schema)


def _input(field: T.StructField, width: int) -> InputSpec | None:
    kind = field.dataType
    values: dict[str, object] = {"name": field.name, "source": field.name, "width": width}
    if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, TEXT_TYPES):
        values |= {"kind": "sequence", "transform": "vocabulary"}
    elif isinstance(kind, T.ArrayType) and isinstance(kind.elementType, NUMBER_TYPES):
        values |= {"kind": "vector", "transform": "zscore"}
    elif isinstance(kind, TEXT_TYPES):
        values |= {"kind": "categorical", "transform": "vocabulary"}
    elif isinstance(kind, NUMBER_TYPES):
        values |= {"kind": "numeric", "transform": "zscore"}
    else:
        note(f"column {field.name} is left out: {kind.simpleString()} cannot be an input")
        return None
    if not _plain(field.name):
        raise ConfigError(
            f"column {field.name!r} cannot be an input: a name has letters, digits and underscores only; "
            "rename or exclude it"
        )
    return InputSpec.model_validate(values)


def _plain(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def _count(condition: Column) -> Column:
    return F.count(F.when(condition, 1))


def _name(row: Row) -> str:
    return "training" if row[SPLIT] == "train" else "validation"


def _check_train(row: Row | None, min_examples: int) -> None:
    if row is None:
        raise NothingToDo("the frame has no row to train on; it needs examples of both classes")
    if row["rows"] < min_examples:
        raise NothingToDo(
            f"{row['rows']:,} training rows are fewer than min_examples ({min_examples:,}); give more rows, or lower it"
        )
    if row["positive"] in (0, row["rows"]):
        kind = "negative" if row["positive"] == 0 else "positive"
        raise NothingToDo(f"all {row['rows']:,} training rows are {kind}; a ranker needs both classes")


def _check_valid(row: Row | None) -> None:
    rows, positive = (0, 0) if row is None else (row["rows"], row["positive"])
    if positive in (0, rows):
        raise NothingToDo(
            f"the validation rows need both classes, but {positive:,} of {rows:,} are positive; "
            "raise the share `valid`, or give a frame"
        )
