"""Turns Spark's own errors into one sentence that a user can act on: which file, what is wrong, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from recsys.errors import ConfigError, DataError, EnvironmentProblem, RecsysError

_FILE: Final = re.compile(
    r"(?:reading file|read file|footer for file|CSV file|Footer in file|footer of the file|file path):? *"
    r"['\"]?((?:file:|[a-z0-9+]+://|/)[^\s'\",]+)"
)
_NOT_PARQUET: Final = re.compile(r"((?:file:|[a-z0-9+]+://|/)\S+) is not a Parquet file")
_UNNAMED: Final = "a source file"
_ANY_FILE: Final = re.compile(r"(?:file:/|[a-z0-9]+://)[^\s'\",)]+")


def translate(error: BaseException, *, culprit: Callable[[], str | None] = lambda: None) -> RecsysError | None:
    """Return the project's error for one of Spark's, or None if a user can do nothing about it.

    Parameters
    ----------
    error : BaseException
        What an action or an analysis raised, under either Spark version.
    culprit : callable
        Finds the damaged file if Spark does not name it.
    """
    if isinstance(error, RecsysError):
        return error
    text = _whole_text(error)
    for mark, build in _KNOWN:
        if re.search(mark, text):
            known = build(text)
            found = culprit() if _UNNAMED in str(known) else None
            return build(f"{text}\nreading file {found}") if found else known
    return None


@contextmanager
def translating(*, culprit: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Raise the translated error in place of Spark's own, where `translate` knows one; let all others pass."""
    try:
        yield
    except RecsysError:
        raise
    except Exception as error:
        known = translate(error, culprit=culprit)
        if known is None:
            raise
        raise known from error


@contextmanager
def reading(source: str, path: str, *, culprit: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Translate errors raised while a source is opened; one that `translate` does not know becomes a DataError."""
    try:
        yield
    except RecsysError:
        raise
    except Exception as error:
        known = translate(error, culprit=culprit)
        if known is not None:
            raise type(known)(f"source {source}: {known}") from error
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise DataError(f"source {source}: {path} can't be read as the mapping says ({first})") from error


def headline(error: BaseException) -> str:
    """One line that says what an unknown error is; of an error in the JVM, its own line instead of Py4J's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    from_jvm = next((line.removeprefix(": ") for line in lines if line.startswith(": ")), None)
    return from_jvm or f"{type(error).__name__}: {lines[0] if lines else ''}"


def _whole_text(error: BaseException) -> str:
    parts = []
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            break
        parts.append(str(seen))
        parts.append(str(getattr(seen, "_stackTrace", "") or ""))
        parts.append(str(getattr(seen, "java_exception", "") or ""))
        seen = getattr(seen, "cause", None) or getattr(seen, "_cause", None) or seen.__cause__
    return "\n".join(parts)


def _file(text: str) -> str:
    for pattern in (_NOT_PARQUET, _FILE):
        found = pattern.search(text)
        if found:
            return found.group(1).rstrip(".:;")
    other = _ANY_FILE.search(text)
    return other.group(0).rstrip(".:;") if other else _UNNAMED


def _data(sentence: str) -> Callable[[str], RecsysError]:
    return lambda text: DataError(sentence.format(file=_file(text)))


def _header(text: str) -> RecsysError:
    header = re.search(r"Header: (.*)", text)
    schema = re.search(r"Schema: (.*)", text)
    shown = f" (it has {header.group(1).strip()}; expected {schema.group(1).strip()})" if header and schema else ""
    return DataError(
        f"{_file(text)} has a different header from the source's first file{shown}; give it a source of its own"
    )


def _expression(text: str) -> RecsysError:
    kind = re.search(
        r"\[(CAST_INVALID_INPUT|CAST_OVERFLOW|DIVIDE_BY_ZERO|ARITHMETIC_OVERFLOW|INVALID_ARRAY_INDEX\w*)", text
    )
    return ConfigError(
        "an expression of the mapping can't be computed for a value of the data "
        f"({kind.group(1) if kind else 'error'}); "
        "use try_cast, try_divide, try_element_at and the like, which return null instead"
    )


_KNOWN: Final[tuple[tuple[str, Callable[[str], RecsysError]], ...]] = (
    (
        # An end of file by itself may also come from a Python worker that died.
        r"(?s)\A(?=.*(?:DecompressorStream|reading file|GZIPInputStream)).*EOFException"
        r"|Unexpected end of (?:ZLIB )?input stream",
        _data("{file} is cut short: its compressed data ends too early; deliver it again"),
    ),
    (
        r"(?i)not a gzip file|not in gzip format|invalid (?:block type|stored block|distance|code lengths)|"
        r"incorrect (?:header|data) check|DataFormatException|ZipException|invalid gzip|"
        r"gzip (?:checksum|stream CRC failure)|stored gzip size|bad block header|crc error",
        _data("{file} can't be decompressed; it is damaged, or its name ends in .gz although it is not gzipped"),
    ),
    (
        r"is not a Parquet file|CANNOT_READ_FILE_FOOTER|Could not read footer|not a valid Parquet",
        _data("{file} is not a Parquet file; set the source's format to what it really is, or deliver it again"),
    ),
    (r"CSV header does not conform to the schema|Number of column in CSV header", _header),
    (
        r"PARQUET_COLUMN_DATA_TYPE_MISMATCH|SchemaColumnConvertNotSupported|Parquet column cannot be converted",
        _data("{file} has a column of a different type from the source's first file; give it a source of its own"),
    ),
    (
        r"COLUMN_ALREADY_EXISTS",
        _data(
            "{file} has two columns whose names differ in case alone; tell them apart with "
            "--set spark.conf.spark.sql.caseSensitive=true"
        ),
    ),
    (
        r"UNABLE_TO_INFER_SCHEMA|Unable to infer schema",
        _data("no file with a schema was found; check the path and the format"),
    ),
    (
        r"DELTA_TABLE_NOT_FOUND|DELTA_MISSING_DELTA_TABLE|is not a Delta table",
        _data("the path is not a Delta table; check the path and the format"),
    ),
    (r"PATH_NOT_FOUND|Path does not exist", _data("{file} does not exist; check input.root and the source's path")),
    (r"FILE_NOT_EXIST|FileNotFoundException", _data("{file} disappeared while it was being read; run the job again")),
    (r"Permission denied|AccessControlException|AccessDenied", _data("{file} may not be read (permission denied)")),
    (r"CAST_INVALID_INPUT|CAST_OVERFLOW|DIVIDE_BY_ZERO|ARITHMETIC_OVERFLOW|INVALID_ARRAY_INDEX", _expression),
    (
        r"No space left on device",
        lambda text: EnvironmentProblem("a disk is full; free some space, or set spark.local.dir to a larger disk"),
    ),
)
