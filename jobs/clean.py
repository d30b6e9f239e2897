"""Take raw logs in: map them onto the contract, keep what breaks it apart.

Reads the files of a `--dataset` mapping below `input.root`; writes `events` and `impressions` (insert-only, by
`event_id` and by `list_id, item_id`; a missing label may be filled in), `items` and `users` (the history of this
dataset, by id and `valid_from`) and `quarantine` (the slice of this batch of files, by `row_hash`). Stops before it
writes (exit 3) where too many rows are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from recsys import data
from recsys.ingest.dataset import makes_ids, require_same_ids
from recsys.ingest.flow import cleaned
from recsys.ingest.histories import require_own
from recsys.ingest.outcome import Origin
from recsys.ingest.sources import fingerprint, read_batch
from recsys.pipeline import Context, Part, job
from recsys.store import Merge, Replace, Write, Writes
from recsys.store.files import list_files
from recsys.store.runs import RunLog


@job(
    "clean",
    reads=(data.ITEMS, data.USERS),
    writes=(data.QUARANTINE, data.ITEMS, data.USERS, data.IMPRESSIONS, data.EVENTS),
    config=("clean", Part("dataset", lambda dataset: dataset.without_settings() if dataset else None)),
    inputs=lambda spark, config: fingerprint(
        spark,
        config.dataset,
        root=config.input.root,
        trusted=config.input.trusted_paths,
        list_files=list_files,
    ),
    every_instant=True,
)
def run(context: Context) -> Writes:
    """Read, clean, check."""
    config = context.config
    warehouse, now = context.warehouse, datetime.now(UTC)
    batch = read_batch(
        context.spark,
        config.dataset,
        root=config.input.root,
        trusted=config.input.trusted_paths,
        list_files=list_files,
    )
    name = batch.dataset.name
    if makes_ids(batch.dataset) and not config.clean.accept_changed_mapping:
        before = RunLog(warehouse).last_config("clean", dataset=name, wrote=data.EVENTS)
        require_same_ids(batch.dataset, (before or {}).get("dataset") or {})
    known = {t.name: warehouse.read(t, where={"source": name}, required=False) for t in (data.ITEMS, data.USERS)}
    context.keep(batch.reading())
    rows = context.keep(
        cleaned(
            batch.frames,
            origin=Origin(batch.dataset, batch.batch_id, now, batch.root),
            settings=config.clean,
            broadcast_limit_mb=config.spark.broadcast_limit_mb,
            existing=known,
        )
    )
    rows.check(quarantine_limit=config.clean.quarantine_limit, duplicate_limit=config.clean.duplicate_limit)
    writes: list[Write] = [Replace(data.QUARANTINE, rows.quarantine, {"batch_id": batch.batch_id})]
    for table, found in ((data.BY_NAME[filled], found) for filled, found in rows.tables.items()):
        if table in (data.ITEMS, data.USERS):
            require_own(found, warehouse.read(table, required=False), entity=table.key[0], dataset=name)
            writes.append(Replace(table, found, {"source": name}))
        else:
            # A label that the source resolved since then comes with a list that is known.
            late = ("label",) if table is data.IMPRESSIONS and batch.dataset.maps(table.name, "label") else ()
            writes.append(Merge(table, found, fill=late, prune=rows.days(table.name)))
    return Writes(writes)


if __name__ == "__main__":
    run.main()
