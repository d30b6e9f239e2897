"""Take raw logs in: map them onto the contract, keep what breaks it apart.

Reads the files of a `--dataset` mapping below `input.root`; writes `events` and `impressions` (insert-only, by
`event_id` and by `list_id, item_id`), `items` and `users` (the history of this dataset, by id and `valid_from`) and
`quarantine` (the slice of this batch of files, by `row_hash`). Stops before it writes (exit 3) where too many rows are
refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.io.sources import read_batch
from recsys.runner import Job
from recsys.transforms.cleaning import Origin, Rules, cleaned


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, clean, check, write."""
    warehouse, now = Warehouse(spark, cfg.warehouse), datetime.now(UTC)
    batch = read_batch(spark, cfg.dataset, root=cfg.input.root)
    name = batch.dataset.name
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
        warehouse.replace(tables.QUARANTINE, rows.quarantine, where={"batch_id": batch.batch_id})
        for table in (tables.BY_NAME[written] for written in rows.tables):
            if table in (tables.ITEMS, tables.USERS):
                warehouse.replace(table, rows.tables[table.name], where={"source": name})
            elif warehouse.exists(table):
                warehouse.merge(table, rows.tables[table.name], update=False, prune=rows.days(table.name))
            else:
                warehouse.replace(table, rows.tables[table.name], where={})


JOB = Job(
    "clean",
    run,
    doc=__doc__,
    reads=(tables.ITEMS, tables.USERS),
    writes=(tables.QUARANTINE, tables.ITEMS, tables.USERS, tables.IMPRESSIONS, tables.EVENTS),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
