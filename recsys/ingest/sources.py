"""Opens a batch: finds the files of every source, checks them against the mapping, and names the batch by them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from pyspark.sql import DataFrame, SparkSession

from recsys import progress
from recsys.errors import ConfigError, DataError, RecsysError
from recsys.failures import reading, translating
from recsys.ingest.dataset import Dataset, Source
from recsys.ingest.files import FileLister, InputFile, damaged
from recsys.ingest.places import require_covered, require_inside, resolved, shown
from recsys.ingest.readers import open_source


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
        Prefix that is cut off file names where they are shown.
    """

    dataset: Dataset
    batch_id: str
    frames: tuple[tuple[Source, DataFrame], ...]
    files: tuple[InputFile, ...]
    root: str

    def reading(self) -> AbstractContextManager[None]:
        """Translate errors raised while the frames are computed, naming the damaged file under either Spark."""
        spark = self.frames[0][1].sparkSession
        return translating(culprit=partial(damaged, spark, self.files))


def read_batch(
    spark: SparkSession,
    dataset: Dataset | None,
    *,
    root: str | None,
    list_files: FileLister,
    trusted: Sequence[str] = (),
) -> Batch:
    """Find the files of every source, check their columns against the mapping, and open them.

    Parameters
    ----------
    dataset : Dataset
        The mapping; None stands for a run that was given none, and is an error.
    root : str, optional
        Where relative paths of the mapping begin (`input.root`).
    list_files : FileLister
        Lists the files at a path.
    trusted : sequence of str
        Places outside of the root that paths may name too (`input.trusted_paths`).

    Raises
    ------
    ConfigError
        If there is no mapping, a relative path without `input.root`, or a path that leads out of it.
    DataError
        If no file matches, files are empty or in another format, or a column that the mapping reads is missing.
    """
    if dataset is None:
        raise ConfigError("clean needs a dataset mapping: give --dataset conf/datasets/NAME.yaml")
    frames = []
    files: dict[str, list[InputFile]] = {}
    for source in dataset.sources:
        path = resolved(source.name, source.path, root=root, trusted=trusted)
        found = list_files(spark, path, table=_is_table(source))
        require_inside(
            source.name, source.path, _paths(spark, source, path, found, list_files), root=root, trusted=trusted
        )
        path = shown(path)
        if not found and source.optional:
            progress.note(f"source {source.name}: no files at {path}, skipped (optional)")
            continue
        _require_files(source, path, found)
        files[source.name] = found
        with reading(source.name, path, culprit=partial(damaged, spark, found)), _folder_values_as_text(spark):
            frame = open_source(spark, source, path, found)
            if _is_table(source):
                require_covered(source.name, source.path, frame.inputFiles(), table=_table(found), trusted=trusted)
            frames.append((source, frame))
    if not frames:
        raise DataError(f"dataset {dataset.name}: none of its sources has a file below {root}; check input.root")
    every = tuple(file for found in files.values() for file in found)
    return Batch(dataset, _batch_id(dataset, files, root), tuple(frames), every, (root or "").rstrip("/"))


def fingerprint(
    spark: SparkSession,
    dataset: Dataset | None,
    *,
    root: str | None,
    list_files: FileLister,
    trusted: Sequence[str] = (),
) -> str:
    """Hash names, sizes and times of all input files: equal only if nothing was delivered in between.

    Returns
    -------
    str
        16 hexadecimal digits; empty if files can't be listed, since reading them will say why.
    """
    listed = []
    try:
        for source in dataset.sources if dataset else ():
            path = resolved(source.name, source.path, root=root, trusted=trusted)
            files = list_files(spark, path, table=_is_table(source))
            listed.append([source.name, sorted([file.path, file.size, file.modified] for file in files)])
    except RecsysError:
        return ""
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def _is_table(source: Source) -> bool:
    return source.format.type == "delta"


def _paths(spark: SparkSession, source: Source, path: str, found: list[InputFile], lister: FileLister) -> list[str]:
    """Files whose links are to be followed: of a table, its log and all that lies beside it."""
    beside = lister(spark, path) if _is_table(source) and found and found[0].path.startswith("file:") else []
    return [file.path for file in (*found, *beside)]


def _table(log: list[InputFile]) -> str:
    """The directory of a Delta table, as its file system names it, by the commits of its log."""
    return log[0].path.rpartition("/_delta_log/")[0]


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


@contextmanager
def _folder_values_as_text(spark: SparkSession) -> Iterator[None]:
    """Read the value of a folder such as day=20240501 as text while frames are opened, like any other raw value."""
    key = "spark.sql.sources.partitionColumnTypeInference.enabled"
    before = spark.conf.get(key) or "true"
    spark.conf.set(key, "false")
    try:
        yield
    finally:
        spark.conf.set(key, before)
