"""Lists what a source holds now: its files, or the versions of its table, as units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import SparkSession

from recsys import progress
from recsys.errors import DataError
from recsys.ingest.dataset import Dataset, Source
from recsys.ingest.files import FileLister, InputFile
from recsys.ingest.places import require_inside, resolved, shown
from recsys.ingest.readers.changes import DeltaChanges
from recsys.ingest.readers.units import DeltaVersion, Files
from recsys.ingest.units import Ledger, Unit


@dataclass(frozen=True)
class Listed:
    """A source that has something to read, and its units."""

    source: Source
    path: str
    found: list[InputFile]
    reader: Files | DeltaVersion | DeltaChanges
    units: Sequence[Unit]


def list_units(
    spark: SparkSession,
    dataset: Dataset,
    *,
    root: str | None,
    trusted: Sequence[str],
    list_files: FileLister,
    ledger: Ledger,
) -> list[Listed]:
    """List the units of every source; those that have nothing today are left out."""
    listed = []
    for source in dataset.sources:
        path = resolved(source.name, source.path, root=root, trusted=trusted)
        found = list_files(spark, path, table=is_table(source))
        require_inside(
            source.name, source.path, _paths(spark, source, path, found, list_files), root=root, trusted=trusted
        )
        path = shown(path)
        if _has_content(source, path, found, known=source.name in ledger.sources()):
            reader = _reader(spark, source, path, found, root, ledger)
            listed.append(Listed(source, path, found, reader, reader.units()))
    return listed


def _reader(
    spark: SparkSession, source: Source, path: str, found: list[InputFile], root: str | None, ledger: Ledger
) -> Files | DeltaVersion | DeltaChanges:
    if not is_table(source):
        return Files(spark, source, path, found, root)
    if not source.format.changes:
        return DeltaVersion(spark, source, path, found, root)
    known = {unit: version for (name, unit), (version, _) in ledger.units.items() if name == source.name}
    return DeltaChanges(spark, source, path, found, root, known)


def is_table(source: Source) -> bool:
    """Whether a source is a Delta table."""
    return source.format.type == "delta"


def _paths(spark: SparkSession, source: Source, path: str, found: list[InputFile], lister: FileLister) -> list[str]:
    """Files whose links are to be followed: of a table, its log and all that lies beside it."""
    beside = lister(spark, path) if is_table(source) and found and found[0].path.startswith("file:") else []
    return [file.path for file in (*found, *beside)]


def table_of(log: list[InputFile]) -> str:
    """The directory of a Delta table, as its file system names it, by the commits of its log."""
    return log[0].path.rpartition("/_delta_log/")[0]


def _has_content(source: Source, path: str, found: list[InputFile], *, known: bool) -> bool:
    """Whether there is something to read. A source that has nothing today is a note, if it had something before.

    Raises
    ------
    DataError
        If a source that is not optional never had a file.
    """
    empty = all(file.size == 0 for file in found)
    if known and empty:
        progress.note(f"source {source.name}: nothing at {path} today")
    elif not found and source.optional:
        progress.note(f"source {source.name}: no files at {path}, skipped (optional)")
    elif not found:
        raise DataError(
            f"source {source.name}: no file matches {path}; check the key input.root and the source's path, "
            "or mark the source optional"
        )
    elif empty:
        raise DataError(f"source {source.name}: {path} is empty ({len(found)} files, 0 bytes); deliver it again")
    return not empty
