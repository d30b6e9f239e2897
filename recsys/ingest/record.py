"""What a batch took in, unit by unit, as the table `ingested` holds it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.data.instants import instant_of
from recsys.ingest.outcome import Cleaned
from recsys.ingest.quarantine import Tally
from recsys.ingest.rules import DUPLICATES
from recsys.ingest.sources import Batch, Taken
from recsys.ingest.undo import Key, Undo
from recsys.ingest.units import UNDOING, Ledger, Unit, plain_path


def ingested(
    spark: SparkSession, batch: Batch, tallies: Sequence[Tally], *, now: datetime, adopted: DataFrame | None = None
) -> DataFrame:
    """Return the rows of the ledger for a batch.

    Parameters
    ----------
    tallies : sequence of Tally
        What became of the batch's rows.
    now : datetime
        When it was taken in (UTC).
    adopted : DataFrame, optional
        Rows of earlier batches whose units now count as read under the present mapping.
    """
    by_file: dict[tuple[str, str], list[Tally]] = defaultdict(list)
    for one in tallies:
        by_file[one.source, plain_path(one.file)].append(one)
    rows = []
    for taken in batch.taken:
        name = taken.source.name
        for unit in taken.units:
            # The rows of a table bear the unit's name in place of a file's.
            found = by_file[name, unit.file.path if unit.file else unit.name]
            rows.append(_row(batch, taken, unit, found, now))
    schema = ", ".join(f"{column.name} {column.type}" for column in data.INGESTED.columns)
    fresh = spark.createDataFrame(rows, schema)
    if adopted is None:
        return fresh
    named = F.create_map(*(F.lit(text) for pair in sorted(batch.rules.items()) for text in pair))
    renamed = adopted.withColumn("rules_hash", F.coalesce(named[F.col("source_name")], "rules_hash"))
    key = list(data.INGESTED.key)
    return fresh.unionByName(renamed.join(fresh.select(*key), on=key, how="left_anti").select(*fresh.columns))


def late_before(batch: Batch, ledger: Ledger) -> dict[str, datetime]:
    """Return for each source with a bound the instant before which its rows are late; none before its first batch.

    Nothing is late in a source of which a unit is repeated: what it brings was there before.
    """
    repeated = batch.undo.repeated_sources if batch.undo else frozenset()
    return {
        source.name: ledger.newest[source.name] - timedelta(days=source.late_after_days)
        for source, _ in batch.frames
        if source.late_after_days and source.name in ledger.newest and source.name not in repeated
    }


def shown_since(batch: Batch, late: Mapping[str, datetime], rows: Cleaned) -> datetime | None:
    """Return the instant from which on stored shown lists can have keys of the batch; None if that is not known.

    Besides the batch's own lists, lists that were shown to new robots are written, and no robot is older than the
    events that were looked at.
    """
    bounds = [late.get(source.name) for source, _ in batch.frames if source.table == "impressions"]
    if rows.tables.keys() & {"robots"}:
        bounds.append(rows.since)
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known and len(known) == len(bounds) else None


def begun(known: DataFrame, undo: Undo) -> DataFrame:
    """Return the ledger's rows of what is taken back, as they are until that is done: the next run finds them."""
    return _these(known, undo.keys).withColumn("version", F.lit(UNDOING))


def no_longer_there(known: DataFrame, batch: Batch) -> DataFrame | None:
    """Return the keys of the ledger's rows of units that are taken back and not read again; None if there are none."""
    taken = {(one.source.name, unit.name) for one in batch.taken for unit in one.units}
    left = (batch.undo.keys if batch.undo else frozenset()) - taken
    return _these(known, left).select(*data.INGESTED.key) if left else None


def no_longer_refused(stored: DataFrame, fresh: DataFrame, undo: Undo) -> DataFrame:
    """Return the keys of the stored refused rows of all units that are read again, unless they are refused again."""
    names = sorted({unit for _, unit in undo.keys | undo.beside})
    goes = F.coalesce(F.col("unit").isin(*names), F.col("target_table").isin(*sorted(undo.whole)))
    key = list(data.QUARANTINE.key)
    return stored.where(goes).select(*key).join(fresh.select(*key), on=key, how="left_anti")


def _these(known: DataFrame, keys: Collection[Key]) -> DataFrame:
    listed = known.sparkSession.createDataFrame(sorted(keys), "source_name string, unit string")
    return known.join(listed, on=["source_name", "unit"], how="left_semi")


def _row(batch: Batch, taken: Taken, unit: Unit, tallies: Sequence[Tally], now: datetime) -> tuple[object, ...]:
    read = [one for one in tallies if not one.reasons or one.reasons[0] not in DUPLICATES]
    kept = [one for one in read if not one.reasons and not one.skipped]
    firsts = [one.first for one in kept if one.first is not None]
    times = [one.last for one in kept if one.last is not None]
    return (
        batch.dataset.name,
        taken.source.name,
        unit.name,
        unit.version,
        taken.rules,
        unit.size,
        sum(one.rows for one in read),
        sum(one.rows for one in tallies if one.reasons),
        instant_of(max(times)) if times else None,
        batch.batch_id,
        now,
        instant_of(min(firsts)) if firsts else None,
        True,
        list(taken.columns),
    )
