"""Take raw logs in: map them onto the contract, keep what breaks it apart.

Reads the files of a `--dataset` mapping below `input.root`; writes `events` and `impressions` (insert-only, by
`event_id` and by `list_id, item_id`; a missing label may be filled in), `items` and `users` (the history of this
dataset, by id and `valid_from`) and `quarantine` (the slice of this batch of files, by `row_hash`). Stops before it
writes (exit 3) where too many rows are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from recsys import data
from recsys.ingest.dataset import require_same_ids
from recsys.ingest.flow import cleaned
from recsys.ingest.histories import require_own
from recsys.ingest.outcome import Origin
from recsys.ingest.sources import fingerprint, read_batch
from recsys.pipeline import Context, Part, job
from recsys.store.files import list_files
from recsys.store.runs import RunLog


@job(
    "clean",
    reads=(data.ITEMS, data.USERS),
    writes=(data.QUARANTINE, data.ITEMS, data.USERS, data.IMPRESSIONS, data.EVENTS),
    config=("clean", Part("dataset", lambda dataset: dataset.without_settings() if dataset else None)),
    inputs=lambda spark, config: fingerprint(spark, config.dataset, root=config.input.root, list_files=list_files),
    every_instant=True,
)
def run(context: Context) -> None:
    """Read, clean, check, write."""
    config = context.config
    warehouse, now = context.warehouse, datetime.now(UTC)
    batch = read_batch(context.spark, config.dataset, root=config.input.root, list_files=list_files)
    name = batch.dataset.name
    if not config.clean.accept_changed_mapping:
        before = RunLog(warehouse).last_config("clean", dataset=name, wrote=data.EVENTS)
        require_same_ids(batch.dataset, (before or {}).get("dataset") or {})
    known = {t.name: warehouse.read(t, where={"source": name}, required=False) for t in (data.ITEMS, data.USERS)}
    cleaning = cleaned(
        batch.frames,
        origin=Origin(batch.dataset, batch.batch_id, now, batch.root),
        settings=config.clean,
        broadcast_limit_mb=config.spark.broadcast_limit_mb,
        existing=known,
    )
    with batch.reading(), cleaning as rows:
        rows.check(quarantine_limit=config.clean.quarantine_limit, duplicate_limit=config.clean.duplicate_limit)
        for table in (data.BY_NAME[known_as] for known_as in known if known_as in rows.tables):
            stored = warehouse.read(table, required=False)
            require_own(rows.tables[table.name], stored, entity=table.key[0], dataset=name)
        warehouse.replace(data.QUARANTINE, rows.quarantine, where={"batch_id": batch.batch_id})
        for table in (data.BY_NAME[written] for written in rows.tables):
            if table in (data.ITEMS, data.USERS):
                warehouse.replace(table, rows.tables[table.name], where={"source": name})
            elif warehouse.exists(table):
                # A label that the source resolved since then comes with a list that is known.
                late = ("label",) if table is data.IMPRESSIONS and batch.dataset.maps(table.name, "label") else ()
                merged = rows.tables[table.name]
                warehouse.merge(table, merged, update=False, fill=late, prune=rows.days(table.name))
            else:
                warehouse.replace(table, rows.tables[table.name], where={})


if __name__ == "__main__":
    run.main()
