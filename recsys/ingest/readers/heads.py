"""How files begin: which encoding they are in, and which of them have the same header."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys.ingest.files import InputFile
from recsys.ingest.places import local_path
from recsys.ingest.readers.common import reader

WIDE: Final = ("UTF-16", "UTF-32")
"""Start of the names of encodings in which a line can't be told by the byte that ends it."""

_LONGEST_HEAD: Final = 1_000_000
"""Bytes of a header at most."""
_MOST_ELSEWHERE: Final = 200
"""Files on a remote file system whose headers are compared; each takes a small job."""
_BY_SPARK_ALONE: Final = ("zst", "deflate", "lz4", "snappy")
_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_UTF_8_MARK: Final = b"\xef\xbb\xbf"


def head(spark: SparkSession, file: InputFile) -> bytes:
    """Return the first line of a file, decompressed; as much of it as can be read."""
    local, ending = local_path(file.path), file.path.rpartition(".")[2]
    if local is not None and ending not in _BY_SPARK_ALONE:
        try:
            with _decompressed(Path(local), ending) as stream:
                return stream.readline(_LONGEST_HEAD).rstrip(b"\r\n")
        except (OSError, EOFError):  # damaged; Spark says in what way
            return b""
    row = reader(spark, [file]).text(file.path).select(F.col("value").cast("binary")).head()
    return bytes(row[0]) if row is not None and row[0] is not None else b""


def marked_encoding(start: bytes, declared: str) -> str:
    r"""Return the encoding that the byte order mark of a file names, or else the declared one.

    Examples
    --------
    >>> marked_encoding("\ufeffuser".encode("utf-16-le"), "UTF-8")
    'UTF-16'
    """
    if declared != "UTF-8":
        return declared
    return next((name for mark, name in _MARKS if start.startswith(mark)), declared)


def by_head(
    spark: SparkSession, files: Sequence[InputFile], *, declared: str, headers: bool = True
) -> dict[tuple[str, bytes], list[InputFile]]:
    """Group files that are not empty by encoding and, if it is a header, first line.

    Parameters
    ----------
    declared : str
        The encoding of files without a byte order mark.
    headers : bool
        Whether the first line is a header.
    """
    full = [file for file in files if file.size]
    compared = full if local_path(full[0].path) is not None else full[:_MOST_ELSEWHERE]
    groups: dict[tuple[str, bytes], list[InputFile]] = {}
    for file in compared:
        start = head(spark, file)
        key = (marked_encoding(start, declared), start.removeprefix(_UTF_8_MARK) if headers else b"")
        groups.setdefault(key, []).append(file)
    # What is not compared is taken for alike; Spark refuses it otherwise.
    next(iter(groups.values())).extend(full[len(compared) :])
    return groups


def _decompressed(path: Path, ending: str) -> gzip.GzipFile | IO[bytes]:
    if ending == "bz2":
        return bz2.BZ2File(path)
    return gzip.GzipFile(path) if ending == "gz" else path.open("rb")
