"""Give every user and item a dense integer that never changes.

Reads events, impressions, items and users before `as_of`; writes `user_index` and `item_index`, keyed by the public
id, insert-only.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.runner import Job
from recsys.transforms.index import known_ids, new_rows


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, number what is new, insert."""
    warehouse = Warehouse(spark, cfg.warehouse)
    events = warehouse.read(tables.EVENTS, before=as_of)
    impressions = warehouse.read(tables.IMPRESSIONS, before=as_of, required=False)
    for entity, table, source in (("user", tables.USER_INDEX, tables.USERS), ("item", tables.ITEM_INDEX, tables.ITEMS)):
        ids = known_ids(
            entity,
            as_of=as_of,
            events=events,
            impressions=impressions,
            states=warehouse.read(source, before=as_of, required=False),
            include_anonymous=cfg.candidates.include_anonymous,
        )
        known = warehouse.read(table, required=False)
        warehouse.merge(table, new_rows(entity, ids, known, as_of=as_of), update=False)


JOB = Job(
    "index",
    run,
    doc=__doc__,
    reads=(tables.EVENTS, tables.IMPRESSIONS, tables.ITEMS, tables.USERS),
    writes=(tables.USER_INDEX, tables.ITEM_INDEX),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
