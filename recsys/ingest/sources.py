"""Opens a batch: finds the files of every source, checks them against the mapping, and names the batch by them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys import progress
from recsys.errors import ConfigError, DataError, RecsysError
from recsys.failures import reading, translating
from recsys.ingest import drift
from recsys.ingest.dataset import Dataset, Source
from recsys.ingest.files import FileLister, InputFile, damaged
from recsys.ingest.listing import Listed, is_table, list_units, table_of
from recsys.ingest.places import require_covered, resolved
from recsys.ingest.readers.units import Files
from recsys.ingest.settings import LIMITS, CleanSettings
from recsys.ingest.undo import Undo, planned
from recsys.ingest.units import Ledger, Unit


def _no_rules(source: Source) -> dict[str, Any]:
    """What of a source decides which rows are read, not what becomes of them."""
    plain = dict.fromkeys(("name", "path", "optional", "late_after_days"), True)
    told = {} if source.new_columns == "attributes" else {"new_columns": True}
    return {**plain, **told, "format": {"changes": True, "deletes": True}}


@dataclass(frozen=True)
class Taken:
    """What a batch takes of one source.

    Attributes
    ----------
    rules : str
        Hash of what decides how its rows are read.
    units : tuple of Unit
        What is read.
    columns : tuple of str
        The columns that the source has in them.
    """

    source: Source
    rules: str
    units: tuple[Unit, ...]
    columns: tuple[str, ...] = ()


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
        One frame per source that has something to read; none if everything is known.
    files : tuple of InputFile
        The files of these frames.
    root : str
        Prefix that is cut off file names where they are shown.
    taken : tuple of Taken
        The same by units.
    rules : mapping of str to str
        Name of every source, to the hash of what decides how its rows are read.
    undo : Undo, optional
        What is taken back before.
    """

    dataset: Dataset
    batch_id: str
    frames: tuple[tuple[Source, DataFrame], ...]
    files: tuple[InputFile, ...]
    root: str
    taken: tuple[Taken, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    undo: Undo | None = None

    def reading(self) -> AbstractContextManager[None]:
        """Translate errors raised while the frames are computed, naming the damaged file under either Spark."""
        if not self.frames:
            return nullcontext()
        spark = self.frames[0][1].sparkSession
        return translating(culprit=partial(damaged, spark, self.files))


def read_batch(
    spark: SparkSession,
    dataset: Dataset | None,
    *,
    root: str | None,
    list_files: FileLister,
    trusted: Sequence[str] = (),
    ledger: Ledger | None = None,
    settings: CleanSettings | None = None,
) -> Batch:
    """Find what every source holds that is not known yet, check its columns against the mapping, and open it.

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
    ledger : Ledger, optional
        What earlier batches read; nothing by default.
    settings : CleanSettings, optional
        What units are read under, and which are to be read again; the defaults if there are none.

    Raises
    ------
    ConfigError
        If there is no mapping, a relative path without `input.root`, or a path that leads out of it.
    DataError
        If no file matches, files are empty or in another format, or a column that the mapping reads is missing.
    """
    if dataset is None:
        raise ConfigError("clean needs a dataset mapping: give --dataset conf/datasets/NAME.yaml")
    ledger, settings = ledger or Ledger(), settings or CleanSettings()
    rules = {source.name: rules_of(source, dataset, settings) for source in dataset.sources}
    frames, taken, known = [], [], ledger.sources()
    listed = list_units(spark, dataset, root=root, trusted=trusted, list_files=list_files, ledger=ledger)
    if not listed and not known & {source.name for source in dataset.sources}:
        raise DataError(f"dataset {dataset.name}: none of its sources has a file below {root}; check input.root")
    undo = planned(dataset.sources, {one.source.name: one.units for one in listed}, ledger, settings.reingest)
    for one in listed:
        source = one.source
        units = _wanted(one, ledger, rules[source.name], settings, again=undo.again(source.name) if undo else ())
        if not units:
            continue
        with reading(source.name, one.path, culprit=partial(damaged, spark, one.found)), _folder_values_as_text(spark):
            if not isinstance(one.reader, Files):
                files = one.reader.files(units)
                require_covered(source.name, source.path, files, table=table_of(one.found), trusted=trusted)
            frame = one.reader.open(units)
        columns = drift.columns_of(frame)
        drift.report(source, columns, ledger.columns.get(source.name))
        frames.append((source, frame))
        taken.append(Taken(source, rules[source.name], tuple(units), columns))
    inputs = tuple(unit.file for one in taken for unit in one.units if unit.file is not None)
    below = (root or "").rstrip("/")
    return Batch(dataset, _batch_id(dataset, taken), tuple(frames), inputs, below, tuple(taken), rules, undo)


def rules_of(source: Source, dataset: Dataset, settings: CleanSettings) -> str:
    """Hash what decides how a source's rows are read: a unit that was read under something else is read again."""
    plain = {
        "source": source.model_dump(mode="json", exclude=_no_rules(source)),
        "dataset": dataset.model_dump(mode="json", include={"timezone", "max_list_length"}),
        "clean": settings.model_dump(mode="json", exclude=set(LIMITS)),
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


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
            files = list_files(spark, path, table=is_table(source))
            listed.append([source.name, sorted([file.path, file.size, file.modified] for file in files)])
    except RecsysError:
        return ""
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def _wanted(
    listed: Listed, ledger: Ledger, rules: str, settings: CleanSettings, *, again: Collection[str]
) -> Sequence[Unit]:
    """Return the units to read; all of them if one is new and the newest of a key is chosen among all rows."""
    source, units = listed.source, listed.units
    under = None if settings.accept_changed_mapping else rules
    unread = ledger.unread(source.name, units, rules=under, again=again)
    if len(unread) < len(units):
        known = f"{len(units) - len(unread):,} of {len(units):,} units were read before"
        progress.note(f"source {source.name}: {known}" + (", nothing is new" if not unread else ""))
    if all(unit.size == 0 for unit in unread):
        return []
    return units if source.latest_by and not source.format.changes else unread


def _batch_id(dataset: Dataset, taken: Sequence[Taken]) -> str:
    listed = {
        one.source.name: sorted([unit.name, unit.version if unit.size is None else unit.size] for unit in one.units)
        for one in taken
    }
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
