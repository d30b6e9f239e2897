"""Small files beside the tables: reports, SQL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def write_text(spark: SparkSession, path: str, text: str) -> None:
    """Write a text file and the directories above it; an existing local file is replaced atomically.

    Parameters
    ----------
    path : str
        A local path, or a URI of any file system that Spark's Hadoop client knows.
    """
    if "://" not in path:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        writing = target.with_name(f".{target.name}.writing-{os.getpid()}")
        writing.write_text(text, encoding="utf-8")
        writing.replace(target)
        return
    jvm: Any = spark._jvm
    place = jvm.org.apache.hadoop.fs.Path(path)
    files = place.getFileSystem(spark._jsc.hadoopConfiguration())
    stream = files.create(place, True)
    try:
        stream.write(bytearray(text.encode("utf-8")))
    finally:
        stream.close()
