"""Take raw logs in: map them onto the contract, keep what breaks it apart.

Reads what is new below `input.root` by a `--dataset` mapping; writes `events` and `impressions` (by `event_id` and by
`list_id, item_id`; what is stored changes only where a batch tells more of it), `items` and `users` (the history of
this dataset, by id and `valid_from`), `robots` (those of this dataset), `quarantine` (the slice of this batch of files,
by `row_hash`) and, at the end, `ingested`, which says what has been read. Stops before it writes (exit 3) where too
many rows are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pyspark.sql import DataFrame

from recsys import data
from recsys.ingest.dataset import makes_ids, require_same_ids
from recsys.ingest.flow import cleaned
from recsys.ingest.histories import require_own
from recsys.ingest.outcome import Cleaned, Origin
from recsys.ingest.record import begun, ingested, late_before, no_longer_refused, no_longer_there, shown_since
from recsys.ingest.sources import Batch, fingerprint, read_batch
from recsys.ingest.undo import Undo
from recsys.ingest.units import Ledger
from recsys.pipeline import Context, Part, job
from recsys.pipeline.flags import sets
from recsys.store import Merge, Replace, Write, Writes
from recsys.store.files import list_files
from recsys.store.runs import RunLog

_STORED = (data.EVENTS, data.IMPRESSIONS, data.ITEMS, data.USERS, data.ROBOTS)


@job(
    "clean",
    reads=(*_STORED, data.INGESTED),
    writes=(data.QUARANTINE, data.ITEMS, data.USERS, data.IMPRESSIONS, data.EVENTS, data.ROBOTS, data.INGESTED),
    config=("clean", Part("dataset", lambda dataset: dataset.without_settings() if dataset else None)),
    inputs=lambda spark, config: fingerprint(
        spark,
        config.dataset,
        root=config.input.root,
        trusted=config.input.trusted_paths,
        list_files=list_files,
    ),
    every_instant=True,
    flags=[
        sets(
            "clean.reingest",
            "take back what these units brought (names as in the table ingested; * and ? stand for any text), and read "
            "them again",
            metavar="UNIT",
        )
    ],
)
def run(context: Context) -> Writes:
    """Read, clean, check."""
    config, warehouse, now = context.config, context.warehouse, datetime.now(UTC)
    stored, ledger = _stored(context), _ledger(context)
    batch = read_batch(
        context.spark,
        config.dataset,
        root=config.input.root,
        trusted=config.input.trusted_paths,
        list_files=list_files,
        ledger=ledger,
        settings=config.clean,
    )
    if makes_ids(batch.dataset) and not config.clean.accept_changed_mapping:
        before = RunLog(warehouse).last_config("clean", dataset=batch.dataset.name, wrote=data.EVENTS)
        require_same_ids(batch.dataset, (before or {}).get("dataset") or {})
    if not batch.frames and batch.undo is None:
        return Writes()
    late = late_before(batch, ledger)
    context.keep(batch.reading())
    rows = context.keep(
        cleaned(
            batch.frames,
            origin=Origin(batch.dataset, batch.batch_id, now, batch.root),
            settings=config.clean,
            broadcast_limit_mb=config.spark.broadcast_limit_mb,
            existing=stored,
            late_before=late,
            seen=ledger.sources(),
            undo=batch.undo,
        )
    )
    rows.check(quarantine_limit=config.clean.quarantine_limit, duplicate_limit=config.clean.duplicate_limit)
    adopted = warehouse.read(data.INGESTED, where={"source": batch.dataset.name}, required=False)
    taken = ingested(
        context.spark,
        batch,
        rows.tallies,
        now=now,
        adopted=adopted if config.clean.accept_changed_mapping else None,
    )
    if batch.undo:
        return Writes(_undoing(context, batch, batch.undo, rows, taken))
    assert rows.quarantine is not None
    quarantine = Replace(data.QUARANTINE, rows.quarantine, {"batch_id": batch.batch_id})
    return Writes([quarantine, *_writes(context, batch, rows, late), Merge(data.INGESTED, taken, update=True)])


def _undoing(context: Context, batch: Batch, undo: Undo, rows: Cleaned, taken: DataFrame) -> list[Write]:
    """Write as ever, with what goes in the same commits; the ledger says first that it goes, and last that it went.

    Users lose their flag as robots before they lose events: events that are still there tell whose flags they were.
    """
    read = {"source": batch.dataset.name}
    known = context.warehouse.read(data.INGESTED, where=read)
    refused = context.warehouse.read(data.QUARANTINE, where=read, required=False)
    fresh = refused.limit(0) if rows.quarantine is None else rows.quarantine
    writes = {write.table.name: write for write in _writes(context, batch, rows, {})}
    for name, keys in rows.taken_back.items():
        writes[name] = Merge(data.BY_NAME[name], rows.tables[name], update=True, remove=keys)
    order = sorted(writes.values(), key=lambda write: write.table is data.EVENTS)
    return [
        Merge(data.INGESTED, begun(known, undo), update=True),
        Merge(data.QUARANTINE, fresh, update=True, remove=no_longer_refused(refused, fresh, undo)),
        *order,
        Merge(data.INGESTED, taken, update=True, remove=no_longer_there(known, batch)),
    ]


def _stored(context: Context) -> dict[str, DataFrame]:
    """Read what is there of the dataset; a table that does not exist is left out."""
    dataset, warehouse = context.config.dataset, context.warehouse
    where = {"source": dataset.name if dataset else ""}
    return {table.name: warehouse.read(table, where=where) for table in _STORED if warehouse.exists(table)}


def _ledger(context: Context) -> Ledger:
    """Read what was taken in before; a table that is gone has to be filled again."""
    dataset, warehouse = context.config.dataset, context.warehouse
    if dataset is None or not warehouse.exists(data.INGESTED):
        return Ledger()
    there = [one.name for one in dataset.sources if warehouse.exists(data.BY_NAME[one.table])]
    return Ledger.of(warehouse.read(data.INGESTED, where={"source": dataset.name})).about(there)


def _writes(context: Context, batch: Batch, rows: Cleaned, late: Mapping[str, datetime]) -> list[Write]:
    """Say how each table is written, in the order in which they are committed."""
    name, writes, warehouse = batch.dataset.name, dict[str, Write](), context.warehouse
    for table, found in ((data.BY_NAME[filled], found) for filled, found in rows.tables.items()):
        if table is data.ROBOTS:
            writes[table.name] = Replace(table, found, {"source": name})
        elif table in (data.ITEMS, data.USERS):
            require_own(found, warehouse.read(table, required=False), entity=table.key[0], dataset=name)
            writes[table.name] = Replace(table, found, {"source": name})
        elif table is data.IMPRESSIONS:
            # A label that the source resolved since then comes with a list that is known.
            fill = [name for name in ("label", "known_at") if batch.dataset.maps(table.name, name)]
            since = shown_since(batch, late, rows)
            # Flags of stored lists change only where more is known of their users.
            told = data.ROBOTS.name in rows.tables or context.config.clean.test_users
            flags = ("is_bot",) if told else ()
            writes[table.name] = Merge(table, found, fill=fill, flags=flags, since=since)
        else:
            # Without stored events near the batch's there is nothing to continue, and rows are only inserted.
            writes[table.name] = Merge(table, found, update=rows.since is not None, since=rows.since)
    return [writes[table.name] for table in run.writes if table.name in writes]


if __name__ == "__main__":
    run.main()
