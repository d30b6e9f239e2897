"""What a batch took in, unit by unit, as the table `ingested` holds it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.data.instants import instant_of
from recsys.ingest.outcome import Cleaned
from recsys.ingest.quarantine import Tally
from recsys.ingest.rules import DUPLICATES
from recsys.ingest.sources import Batch, Taken
from recsys.ingest.units import Ledger, Unit, plain_path


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
    by_source: dict[str, list[Tally]] = defaultdict(list)
    for one in tallies:
        by_file[one.source, plain_path(one.file)].append(one)
        by_source[one.source].append(one)
    rows = []
    for taken in batch.taken:
        name = taken.source.name
        for unit in taken.units:
            found = by_file[name, unit.file.path] if unit.file else by_source[name]
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
    """Return for each source with a bound the instant before which its rows are late; none before its first batch."""
    return {
        source.name: ledger.newest[source.name] - timedelta(days=source.late_after_days)
        for source, _ in batch.frames
        if source.late_after_days and source.name in ledger.newest
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


def _row(batch: Batch, taken: Taken, unit: Unit, tallies: Sequence[Tally], now: datetime) -> tuple[object, ...]:
    read = [one for one in tallies if not one.reasons or one.reasons[0] not in DUPLICATES]
    times = [one.last for one in read if one.last is not None and not one.reasons and not one.skipped]
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
    )
