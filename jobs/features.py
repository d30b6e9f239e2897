"""Sum days up and derive what is known of each user and item as of an instant.

Reads events, users and items before `as_of`; writes the days of `user_daily` and `item_daily` that are missing or
stale, and the slice `as_of` of `user_features` and `item_features`, keyed by the public id.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.runner import Job
from recsys.transforms import daily, features


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Bring the partials up to date, add the days up, join the states that were valid."""
    warehouse = Warehouse(spark, cfg.warehouse)
    today = daily.day_of(as_of)
    first = daily.kept_days(as_of, cfg.examples.window_days)
    daily.require_past(warehouse.read(tables.EVENTS), as_of)
    events = warehouse.read(tables.EVENTS, before=as_of, since=daily.midnight(first))
    for entity, table in daily.TABLES.items():
        days = daily.stale_days(events, warehouse.read(table, required=False), since=first, until=today)
        stale = [row["event_date"] for row in days.collect()]  # days: bounded by the window
        if stale:
            warehouse.replace(
                table, daily.daily_partials(events, entity=entity, days=stale), where={"event_date": stale}
            )
    users = warehouse.read(tables.USERS, valid_at=as_of, required=False)
    items = warehouse.read(tables.ITEMS, valid_at=as_of, required=False)
    of_users = warehouse.read(tables.USER_DAILY, required=False)
    of_items = warehouse.read(tables.ITEM_DAILY, required=False)
    warehouse.replace(
        tables.USER_FEATURES,
        features.user_features(events=events, daily=of_users, users=users, as_of=as_of),
        where={"as_of": as_of},
    )
    warehouse.replace(
        tables.ITEM_FEATURES,
        features.item_features(events=events, daily=of_items, items=items, as_of=as_of),
        where={"as_of": as_of},
    )


JOB = Job(
    "features",
    run,
    doc=__doc__,
    reads=(tables.EVENTS, tables.USERS, tables.ITEMS),
    writes=(tables.USER_DAILY, tables.ITEM_DAILY, tables.USER_FEATURES, tables.ITEM_FEATURES),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
