"""What lies at a path, on any file system that Spark's Hadoop client knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyspark.sql import SparkSession

from recsys.errors import ConfigError
from recsys.progress import step

_COMPRESSED: Final = (".gz", ".bz2", ".zst", ".deflate", ".lz4", ".snappy")


@dataclass(frozen=True)
class InputFile:
    """A file, its size in bytes, when it was written (ms since 1970), and its place below the directory listed."""

    path: str
    size: int
    modified: int = 0
    below_listed: str = ""

    def below(self, root: str | None) -> str:
        """The path without the root, so that the same files elsewhere have the same names."""
        return relative(self.path, root)


def relative(path: str, root: str | None) -> str:
    """Cut a root off a path; a path outside it stays whole."""
    prefix = (root or "").rstrip("/") + "/"
    at = path.find(prefix) if root else -1
    return path[at + len(prefix) :] if at >= 0 else path


def list_files(spark: SparkSession, path: str, *, table: bool = False) -> list[InputFile]:
    """List the files that a path, a directory (with everything below) or a glob stands for; hidden ones are left out.

    Parameters
    ----------
    table : bool
        The path is a Delta table: its log's commits stand for its content.

    Raises
    ------
    ConfigError
        If the file system of the path is not known or not reachable.
    """
    jvm: Any = spark._jvm
    try:
        pattern = jvm.org.apache.hadoop.fs.Path(f"{path}/_delta_log/*.json" if table else path)
        files = pattern.getFileSystem(spark._jsc.hadoopConfiguration())
        matches = files.globStatus(pattern) or []
        found: list[InputFile] = []
        for match in matches:
            if match.isDirectory():
                found += _below(files, match.getPath())
            else:
                found.append(_file(match, ""))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"path {path} can't be listed ({reason}); check input.root and the source's path") from error
    return sorted(found, key=lambda file: file.path)


def _below(files: Any, directory: Any) -> list[InputFile]:
    root = directory.toString().rstrip("/") + "/"
    found = []
    listing = files.listFiles(directory, True)
    while listing.hasNext():
        status = listing.next()
        below = status.getPath().toString()[len(root) :]
        if not any(part.startswith(("_", ".")) for part in below.split("/")):
            found.append(_file(status, below))
    return found


def _file(status: Any, below: str) -> InputFile:
    return InputFile(status.getPath().toString(), status.getLen(), status.getModificationTime(), below)


def damaged(spark: SparkSession, files: Iterable[InputFile]) -> str | None:
    """Find a compressed file that can't be read to its end, by halves; None if there is none.

    Spark 3.5 says that some file ended too early, and not which. The search reads all of them once more at most, on
    all executors.
    """
    suspects = [file.path for file in files if file.path.endswith(_COMPRESSED)]
    with step(f"look for the damaged one among {len(suspects)} files"):
        while len(suspects) > 1:
            half = len(suspects) // 2
            suspects = suspects[half:] if _readable(spark, suspects[:half]) else suspects[:half]
        return None if not suspects or _readable(spark, suspects) else suspects[0]


def _readable(spark: SparkSession, paths: Sequence[str]) -> bool:
    try:
        spark.read.text(list(paths)).write.format("noop").mode("overwrite").save()
    except Exception:
        return False
    return True
