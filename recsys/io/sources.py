"""Readers of raw sources: files in, frames with the source's own columns out, all errors about files told by name.

Each row also carries itself as it was read, its file, and whether it could be parsed (`RAW`, `FILE`, `BROKEN`).
"""

from __future__ import annotations

import codecs
import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from recsys import progress
from recsys.config.dataset import BROKEN, FILE, RAW, Dataset, Source
from recsys.errors import ConfigError, DataError, RecsysError
from recsys.io.errors import reading, translating
from recsys.io.files import InputFile, damaged, list_files

_CORRUPT = "__corrupt"
_HEAD_LINES = 500
_SPARK_CHARSETS = {
    "utf-8": "UTF-8",
    "ascii": "US-ASCII",
    "iso8859-1": "ISO-8859-1",
    "utf-16": "UTF-16",
    "utf-16-be": "UTF-16BE",
    "utf-16-le": "UTF-16LE",
    "utf-32": "UTF-32",
}
"""Charsets that every Spark reads, by the name that Python gives to all their spellings."""


@dataclass(frozen=True)
class Batch:
    """What one run of `clean` reads.

    Attributes
    ----------
    dataset : Dataset
        The mapping.
    batch_id : str
        The same for the same files (names below the root, sizes), whenever and wherever they are read.
    frames : tuple of (Source, DataFrame)
        One frame per source that has files.
    files : tuple of InputFile
        All files of these sources.
    root : str
        Prefix that file names are shown without.
    """

    dataset: Dataset
    batch_id: str
    frames: tuple[tuple[Source, DataFrame], ...]
    files: tuple[InputFile, ...]
    root: str

    def reading(self) -> AbstractContextManager[None]:
        """Translate what goes wrong while the frames are computed, with the damaged file's name in any Spark."""
        spark = self.frames[0][1].sparkSession
        return translating(culprit=partial(damaged, spark, self.files))


def read_batch(spark: SparkSession, dataset: Dataset | None, *, root: str | None) -> Batch:
    """Find the files of every source, check their columns against the mapping, and open them.

    Raises
    ------
    ConfigError
        If there is no mapping, or a relative path without `input.root`.
    DataError
        If no file matches, files are empty or of another format, or a column that the mapping reads is not there.
    """
    if dataset is None:
        raise ConfigError("clean needs a dataset mapping: give --dataset conf/datasets/NAME.yaml")
    frames = []
    files: dict[str, list[InputFile]] = {}
    for source in dataset.sources:
        path = _resolve(source, root)
        found = list_files(spark, path, table=source.format.type == "delta")
        if not found and source.optional:
            progress.note(f"source {source.name}: no files at {path}, passed over (optional)")
            continue
        _require_files(source, path, found)
        files[source.name] = found
        with reading(source.name, path, culprit=partial(damaged, spark, found)), _folders_as_texts(spark):
            frames.append((source, _open(spark, source, path, found)))
    if not frames:
        raise DataError(f"dataset {dataset.name}: none of its sources has a file below {root}; check input.root")
    every = tuple(file for found in files.values() for file in found)
    return Batch(dataset, _batch_id(dataset, files, root), tuple(frames), every, (root or "").rstrip("/"))


def fingerprint(spark: SparkSession, dataset: Dataset | None, *, root: str | None) -> str:
    """Hash names, sizes and times of all input files: the same only where nothing was delivered in between.

    Empty where files can't be listed; reading them says why.
    """
    listed = []
    try:
        for source in dataset.sources if dataset else ():
            files = list_files(spark, _resolve(source, root), table=source.format.type == "delta")
            listed.append([source.name, sorted([file.path, file.size, file.modified] for file in files)])
    except RecsysError:
        return ""
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def _resolve(source: Source, root: str | None) -> str:
    if source.path.startswith("/") or "://" in source.path:
        return source.path
    if root is None:
        raise ConfigError(
            f"source {source.name}: path {source.path} is relative to input.root, which is not set; "
            "give --set input.root=DIR"
        )
    return f"{root.rstrip('/')}/{source.path}"


def _require_files(source: Source, path: str, found: list[InputFile]) -> None:
    if not found:
        raise DataError(
            f"source {source.name}: no file matches {path}; check the key input.root and the source's path, "
            "or mark the source optional"
        )
    if all(file.size == 0 for file in found):
        raise DataError(f"source {source.name}: {path} is empty ({len(found)} files, 0 bytes); deliver it again")


def _batch_id(dataset: Dataset, files: dict[str, list[InputFile]], root: str | None) -> str:
    listed = {name: sorted([file.below(root), file.size] for file in found) for name, found in files.items()}
    digest = hashlib.sha256(json.dumps([dataset.name, listed], sort_keys=True).encode()).hexdigest()
    return f"{dataset.name}-{digest[:16]}"


def _open(spark: SparkSession, source: Source, path: str, files: list[InputFile]) -> DataFrame:
    kind = source.format.type
    if kind == "json":
        return _json(spark, source, path, files)
    if kind == "csv":
        return _csv(spark, source, path, files)
    frame = _reader(spark, files).parquet(path) if kind == "parquet" else spark.read.format("delta").load(path)
    _require_columns(source, frame.columns)
    return _with_origin(frame, frame.columns, F.lit(False))


@contextmanager
def _folders_as_texts(spark: SparkSession) -> Iterator[None]:
    """What a folder such as day=20240501 says is a text while frames are opened, like any other raw value."""
    key = "spark.sql.sources.partitionColumnTypeInference.enabled"
    before = spark.conf.get(key) or "true"
    spark.conf.set(key, "false")
    try:
        yield
    finally:
        spark.conf.set(key, before)


def _reader(spark: SparkSession, files: list[InputFile]) -> DataFrameReader:
    """A reader of everything below a directory: Spark looks into key=value folders by itself, into others if told."""
    keyed = any("=" in file.below_listed.rpartition("/")[0] for file in files)
    return spark.read.option("recursiveFileLookup", not keyed)


# -- json


def _json(spark: SparkSession, source: Source, path: str, files: list[InputFile]) -> DataFrame:
    lists = source.list_columns()
    names = sorted(source.source_columns())
    fields = [T.StructField(name, T.ArrayType(T.StringType()) if name in lists else T.StringType()) for name in names]
    schema = T.StructType([*fields, T.StructField(_CORRUPT, T.StringType())])
    if codecs.lookup(source.format.encoding).name != "utf-8":
        reader = _encoded(spark, source, files).schema(schema).option("lineSep", "\n")
        frame = reader.option("columnNameOfCorruptRecord", _CORRUPT).json(path)
        return _with_origin(frame, names, F.col(_CORRUPT).isNotNull())
    lines = _reader(spark, files).text(path)
    _warn_of_unknown_keys(source, names, lines)
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    record = F.from_json("value", schema, options)
    parsed = lines.where(F.length(F.trim("value")) > 0).select(
        F.col("value").alias(RAW), F.col("_metadata.file_path").alias(FILE), record.alias("__record")
    )
    # Spark takes the first object of a list, and lets pass what follows an object: neither is one object per line.
    whole = F.ltrim(F.col(RAW)).startswith("{") & F.rtrim(F.col(RAW)).endswith("}")
    broken = F.col("__record").isNull() | F.col("__record").getField(_CORRUPT).isNotNull() | ~whole
    columns = [F.col("__record").getField(name).alias(name) for name in names]
    return parsed.select(*columns, RAW, FILE, broken.alias(BROKEN))


def _warn_of_unknown_keys(source: Source, names: list[str], lines: DataFrame) -> None:
    """Compare the mapping with the keys of the first lines; JSON has no header that could be checked."""
    keys: set[str] = set()
    for row in lines.limit(_HEAD_LINES).collect():
        try:
            record = json.loads(row["value"])
        except ValueError:
            continue
        keys |= record.keys() if isinstance(record, dict) else set()
    if not keys:
        return
    for name in names:
        close = _closest(name, keys - set(names))
        if name not in keys and close:
            raise DataError(_missing_column(source, name, keys, close))
        if name not in keys:
            progress.note(
                f"source {source.name}: no {name} in the first {_HEAD_LINES} lines; taken as a key that may lack"
            )


# -- csv


def _csv(spark: SparkSession, source: Source, path: str, files: list[InputFile]) -> DataFrame:
    names, comparable = list(source.format.names or ()), source.format.header
    if not names:
        first = min((file for file in files if file.size), key=lambda file: file.path)
        names = _csv_reader(spark, source, files).option("header", True).csv(first.path).columns
        _hint_at_json(source, first, names)
        comparable = _as_written(_csv_reader(spark, source, files).csv(first.path), names)
        if not comparable:
            progress.note(f"source {source.name}: some columns have no name of their own; headers are not compared")
    schema = T.StructType([T.StructField(name, T.StringType()) for name in [*names, _CORRUPT]])
    frame = (
        _csv_reader(spark, source, files)
        .schema(schema)
        .options(mode="PERMISSIVE", columnNameOfCorruptRecord=_CORRUPT)
        .options(header=source.format.header, enforceSchema=not comparable)
        .csv(path)
    )
    # Folders such as dt=2024-05-01 add columns of their own.
    names += [name for name in frame.columns if name not in (*names, _CORRUPT)]
    _require_columns(source, names)
    return _with_origin(frame, names, F.col(_CORRUPT).isNotNull())


def _as_written(frame: DataFrame, names: list[str]) -> bool:
    """Whether Spark took the header's names as they stand; it makes up names for columns without one, or with a twin's.

    Parameters
    ----------
    frame : DataFrame
        The file with its header read as a row.
    """
    header = frame.head()
    return header is not None and list(header) == names


def _csv_reader(spark: SparkSession, source: Source, files: list[InputFile]) -> DataFrameReader:
    how = source.format
    return _encoded(spark, source, files).options(
        sep=how.separator, quote=how.quote, escape=how.escape, multiLine=how.multiline, maxCharsPerColumn=-1
    )


def _hint_at_json(source: Source, file: InputFile, names: list[str]) -> None:
    if not names:
        raise DataError(f"source {source.name}: {file.path} is empty, it has not even a header; deliver it again")
    if names[0].lstrip().startswith(("{", "[")):
        raise DataError(f"source {source.name}: {file.path} looks like JSON, the mapping says csv; set format: json")


# -- shared


def _encoded(spark: SparkSession, source: Source, files: list[InputFile]) -> DataFrameReader:
    name = codecs.lookup(source.format.encoding).name
    if name not in _SPARK_CHARSETS:
        # Spark 4 reads the charsets of its own list only, unless told otherwise; 3.5 ignores the key.
        spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    return _reader(spark, files).option("encoding", _SPARK_CHARSETS.get(name, source.format.encoding))


def _with_origin(frame: DataFrame, names: Iterable[str], broken: Column) -> DataFrame:
    columns = [F.col(f"`{name.replace('`', '``')}`") for name in names]
    raw = F.to_json(F.struct(*columns))
    if _CORRUPT in frame.columns:
        raw = F.coalesce(F.col(_CORRUPT), raw)
    return frame.select(*columns, raw.alias(RAW), F.col("_metadata.file_path").alias(FILE), broken.alias(BROKEN))


def _require_columns(source: Source, found: list[str]) -> None:
    for name in sorted(source.source_columns()):
        if name not in found:
            raise DataError(_missing_column(source, name, found, _closest(name, found)))


def _missing_column(source: Source, name: str, found: Iterable[str], close: str | None) -> str:
    names = sorted(found)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"did you mean {close}?" if close else "correct the mapping, or the format's separator and header"
    return f"source {source.name}: the mapping reads column {name}, which {source.path} lacks (it has {listed}); {hint}"


def _closest(name: str, found: Iterable[str]) -> str | None:
    plain = {other.casefold().replace("_", "").replace(" ", ""): other for other in found}
    close = difflib.get_close_matches(name.casefold().replace("_", "").replace(" ", ""), plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None
