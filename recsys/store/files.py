"""Looks for files, and removes them, on any file system that Spark's Hadoop client can reach."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from recsys.errors import ConfigError
from recsys.ingest.files import InputFile
from recsys.ingest.places import shown
from recsys.store.globs import matching


def list_files(spark: SparkSession, path: str, *, table: bool = False) -> list[InputFile]:
    """List the files that a path, a directory (with everything below it) or a glob stands for.

    Hidden files, and those in hidden directories, are left out: their names start with `_` or a dot.

    Parameters
    ----------
    table : bool
        Whether the path is a Delta table; the commits of its log then stand for its content.

    Returns
    -------
    list of InputFile
        Sorted by path; empty if nothing matches.

    Raises
    ------
    ConfigError
        If the path's file system is unknown or can't be reached.
    """
    jvm: Any = spark._jvm
    try:
        # A name with brackets or stars in it may be a file's own.
        place = jvm.org.apache.hadoop.fs.Path(f"{shown(path)}/_delta_log" if table else shown(path))
        files = place.getFileSystem(spark._jsc.hadoopConfiguration())
        if files.exists(place):
            matches = list(files.listStatus(place)) if table else [files.getFileStatus(place)]
        else:
            matches = [] if table else matching(jvm, files, path)
        found: list[InputFile] = []
        for match in matches:
            if match.isDirectory():
                found += [] if table else _below(files, match.getPath())
            elif not table or match.getPath().getName().endswith(".json"):
                found.append(_file(match, ""))
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"path {path} can't be listed ({reason}); check input.root and the source's path") from error
    return sorted(found, key=lambda file: file.path)


def file_exists(spark: SparkSession, path: str) -> bool:
    """Whether a file or directory exists, on any file system that Spark's Hadoop client knows."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    return bool(place.getFileSystem(spark._jsc.hadoopConfiguration()).exists(place))


def directories(spark: SparkSession, path: str, *, prefix: str) -> list[str]:
    """List the directories directly below one whose names begin with a prefix; none if it does not exist."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    files = place.getFileSystem(spark._jsc.hadoopConfiguration())
    found = files.listStatus(place) if files.exists(place) else []
    return [one.getPath().toString() for one in found if one.getPath().getName().startswith(prefix)]


def remove(spark: SparkSession, path: str) -> None:
    """Remove a file, or a directory with everything in it, if it exists."""
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    place.getFileSystem(spark._jsc.hadoopConfiguration()).delete(place, True)


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
