"""Input files as plain values, and the seam behind which they are listed.

This room lists no files by itself: the caller passes a lister (`recsys.store.files.list_files` in the jobs), so that
reading and mapping run wherever a Spark session does. Links of local files alone are followed here, in
`recsys.ingest.places`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pyspark.sql import SparkSession

from recsys.progress import step

AS_NAMED: Final = ("__globPaths__", "false")
"""Option of Spark's readers: paths name files, and the stars and brackets in them are no patterns."""

_COMPRESSED: Final = (".gz", ".bz2", ".zst", ".deflate", ".lz4", ".snappy")


@dataclass(frozen=True)
class InputFile:
    """One file of a source.

    Attributes
    ----------
    path : str
        The whole path, with its scheme.
    size : int
        Bytes.
    modified : int
        When it was last written, in milliseconds since 1970.
    below_listed : str
        Its path below the directory that was listed; empty if the file itself was named.
    """

    path: str
    size: int
    modified: int = 0
    below_listed: str = ""

    def below(self, root: str | None) -> str:
        """Return the path without the root, so that the same files in another place have the same names."""
        return relative(self.path, root)


class FileLister(Protocol):
    """Lists the files that a path, a directory (with everything below it) or a glob stands for."""

    def __call__(self, spark: SparkSession, path: str, *, table: bool = False) -> list[InputFile]:
        """Return the files, sorted by path; `table` says that the path is a Delta table."""
        ...


def relative(path: str, root: str | None) -> str:
    """Cut a root off a path; a path outside the root stays whole.

    Examples
    --------
    >>> relative("file:/raw/2024/events.csv", "/raw/")
    '2024/events.csv'
    """
    prefix = (root or "").rstrip("/") + "/"
    at = path.find(prefix) if root else -1
    return path[at + len(prefix) :] if at >= 0 else path


def damaged(spark: SparkSession, files: Iterable[InputFile]) -> str | None:
    """Find a compressed file that can't be read to its end, by bisection; None if there is none.

    Spark 3.5 reports that a file ended too early, but not which one. The search reads each file at most twice, on all
    executors.
    """
    suspects = [file.path for file in files if file.path.endswith(_COMPRESSED)]
    with step(f"look for the damaged file among {len(suspects)}"):
        while len(suspects) > 1:
            half = len(suspects) // 2
            suspects = suspects[half:] if _readable(spark, suspects[:half]) else suspects[:half]
        return None if not suspects or _readable(spark, suspects) else suspects[0]


def _readable(spark: SparkSession, paths: Sequence[str]) -> bool:
    try:
        spark.read.option(*AS_NAMED).text(list(paths)).write.format("noop").mode("overwrite").save()
    except Exception:
        return False
    return True
