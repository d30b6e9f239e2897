"""Take raw logs in: map them onto the contract, keep what breaks it apart.

Reads the files of a `--dataset` mapping below `input.root`; writes `events` and `impressions` (insert-only, by
`event_id` and by `list_id, item_id`; a missing label may be filled in), `items` and `users` (the history of this
dataset, by id and `valid_from`) and `quarantine` (the slice of this batch of files, by `row_hash`). Stops before it
writes (exit 3) where too many rows are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.config.dataset import require_same_ids
from recsys.io import Warehouse
from recsys.io.sources import fingerprint, read_batch
from recsys.runner import Job, RunLog
from recsys.transforms.cleaning import Origin, Rules, cleaned
from recsys.transforms.cleaning.history import require_own


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, clean, check, write."""
    warehouse, now = Warehouse(spark, cfg.warehouse), datetime.now(UTC)
    batch = read_batch(spark, cfg.dataset, root=cfg.input.root)
    name = batch.dataset.name
    if not cfg.clean.accept_changed_mapping:
        before = RunLog(spark, cfg).last_config("clean", dataset=name, wrote=tables.EVENTS)
        require_same_ids(batch.dataset, (before or {}).get("dataset") or {})
    known = {t.name: warehouse.read(t, where={"source": name}, required=False) for t in (tables.ITEMS, tables.USERS)}
    rules = Rules.of(
        **cfg.clean.model_dump(),
        broadcast_limit_mb=cfg.spark.broadcast_limit_mb,
        now=now,
        max_list_length=batch.dataset.max_list_length,
    )
    origin = Origin(batch.dataset, batch.batch_id, now, batch.root)
    with batch.reading(), cleaned(batch.frames, origin=origin, rules=rules, existing=known) as rows:
        rows.check(quarantine_limit=cfg.clean.quarantine_limit, duplicate_limit=cfg.clean.duplicate_limit)
        for table in (tables.BY_NAME[known_as] for known_as in known if known_as in rows.tables):
            stored = warehouse.read(table, required=False)
            require_own(rows.tables[table.name], stored, entity=table.key[0], source=name)
        warehouse.replace(tables.QUARANTINE, rows.quarantine, where={"batch_id": batch.batch_id})
        for table in (tables.BY_NAME[written] for written in rows.tables):
            if table in (tables.ITEMS, tables.USERS):
                warehouse.replace(table, rows.tables[table.name], where={"source": name})
            elif warehouse.exists(table):
                # A label that the source resolved since then comes with a list that is known.
                late = ("label",) if table is tables.IMPRESSIONS and batch.dataset.maps(table.name, "label") else ()
                merged = rows.tables[table.name]
                warehouse.merge(table, merged, update=False, fill=late, prune=rows.days(table.name))
            else:
                warehouse.replace(table, rows.tables[table.name], where={})


JOB = Job(
    "clean",
    run,
    doc=__doc__,
    reads=(tables.ITEMS, tables.USERS),
    writes=(tables.QUARANTINE, tables.ITEMS, tables.USERS, tables.IMPRESSIONS, tables.EVENTS),
    inputs=lambda spark, cfg: fingerprint(spark, cfg.dataset, root=cfg.input.root),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
