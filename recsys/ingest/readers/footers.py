"""What the footer of a Parquet file says about columns, for those types that Spark refuses to read by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import types as T
from pyspark.sql.pandas.types import from_arrow_type

from recsys.ingest.places import local_path

_NANOS: Final = "(({0} - pmod({0}, 1000)) DIV 1000)"
"""SQL for the microseconds of nanoseconds, rounded down before 1970 too."""
_CLOCK: Final = "date_format(timestamp_micros({}), 'HH:mm:ss.SSSSSS')"
_UUID: Final = "regexp_replace(lower(hex({})), '^(.{{8}})(.{{4}})(.{{4}})(.{{4}})(.{{12}})$', '$1-$2-$3-$4-$5')"
_PLAIN: Final[dict[str, T.DataType]] = {
    "BOOLEAN": T.BooleanType(),
    "INT32": T.IntegerType(),
    "INT64": T.LongType(),
    "INT96": T.TimestampType(),
    "FLOAT": T.FloatType(),
    "DOUBLE": T.DoubleType(),
    "BYTE_ARRAY": T.BinaryType(),
    "FIXED_LEN_BYTE_ARRAY": T.BinaryType(),
}


@dataclass(frozen=True)
class Stored:
    """A column as Spark can be told to read it.

    Attributes
    ----------
    kind : DataType
        What to read it as.
    meant : str
        SQL, with `{}` for the column, that makes of it what it stands for.
    """

    kind: T.DataType
    meant: str = "{}"


def stored_columns(path: str) -> dict[str, Stored]:
    """Return the top-level columns of a Parquet file; nested ones with a type that Spark refuses are left out.

    Nanoseconds become microseconds, a time of day and a UUID become text.

    Parameters
    ----------
    path : str
        With its scheme; `s3a://` is read as `s3://`.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If the file can't be read from here.
    """
    with _opened(path) as file:
        schema, flat = file.schema_arrow, {}
        for at in range(len(file.schema)):
            column = file.schema.column(at)
            if "." not in column.path and column.max_repetition_level == 0:
                flat[column.path] = _stored(column)
        found = {}
        for field in schema:
            stored = flat.get(field.name) or _nested(field.type)
            if stored is not None:
                found[field.name] = stored
        return found


def _opened(path: str) -> pq.ParquetFile:
    local = local_path(path)
    if local is not None:
        return pq.ParquetFile(local)
    system, name = fs.FileSystem.from_uri(path.replace("s3a://", "s3://", 1))
    return pq.ParquetFile(system.open_input_file(name))


def _stored(column: Any) -> Stored:
    logical = json.loads(column.logical_type.to_json())
    kind, physical = logical.get("Type", "None"), column.physical_type
    if kind == "Timestamp":
        local = not logical.get("isAdjustedToUTC")
        if logical.get("timeUnit") == "nanoseconds":
            instant = f"timestamp_micros({_NANOS.format('{0}')})"
            return Stored(T.LongType(), f"CAST({instant} AS TIMESTAMP_NTZ)" if local else instant)
        return Stored(T.TimestampNTZType() if local else T.TimestampType())
    if kind == "Time":
        micros = {"milliseconds": "{0} * 1000L", "microseconds": "{0}"}.get(logical["timeUnit"], _NANOS)
        return Stored(_PLAIN[physical], _CLOCK.format(micros))
    if kind == "UUID":
        return Stored(T.BinaryType(), _UUID)
    if kind == "Decimal":
        return Stored(T.DecimalType(column.precision, column.scale))
    if kind == "Int" and not logical.get("isSigned", True):
        return Stored(T.DecimalType(20, 0) if logical["bitWidth"] == 64 else T.LongType())
    if kind == "Date":
        return Stored(T.DateType())
    return Stored(T.StringType() if kind in ("String", "Enum", "JSON") else _PLAIN[physical])


def _nested(kind: pa.DataType) -> Stored | None:
    refused = (pa.types.is_time, pa.types.is_fixed_size_binary, pa.types.is_duration, pa.types.is_interval)
    if any(test(leaf) for leaf in _leaves(kind) for test in refused):
        return None
    if any(pa.types.is_timestamp(leaf) and leaf.unit == "ns" for leaf in _leaves(kind)):
        return None
    try:
        return Stored(from_arrow_type(kind))
    except Exception:  # a type that Spark does not have
        return None


def _leaves(kind: pa.DataType) -> list[pa.DataType]:
    count = kind.num_fields
    return [leaf for at in range(count) for leaf in _leaves(kind.field(at).type)] if count else [kind]
