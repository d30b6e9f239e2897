"""File systems by path or URI."""

from __future__ import annotations

import pyarrow.fs as pafs


def filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system of a path or URI (s3, gs, hdfs, abfs, dbfs, file or none) and the path within it."""
    if path.startswith("dbfs:/"):
        path = "/dbfs/" + path.removeprefix("dbfs:/").lstrip("/")
    if path.startswith("file:"):
        return pafs.LocalFileSystem(), "/" + path.removeprefix("file:").lstrip("/")
    for hadoop in ("s3a://", "s3n://"):
        path = "s3://" + path.removeprefix(hadoop) if path.startswith(hadoop) else path
    if "://" in path:
        fs, inner = pafs.FileSystem.from_uri(path)
        return fs, inner
    return pafs.LocalFileSystem(), path
