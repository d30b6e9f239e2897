"""Sum days up and derive what is known of each user and item as of an instant.

Reads events, users and items before `as_of`; writes the days of `user_daily` and `item_daily` that are missing or
stale, and the slice `as_of` of `user_features` and `item_features`, keyed by the public id.
"""

from __future__ import annotations

from recsys import data
from recsys.features import daily
from recsys.features import entities as features
from recsys.pipeline import Context, job


@job(
    "features",
    reads=(data.EVENTS, data.USERS, data.ITEMS),
    writes=(data.USER_DAILY, data.ITEM_DAILY, data.USER_FEATURES, data.ITEM_FEATURES),
    config=("ctr_examples.window_days",),
)
def run(context: Context) -> None:
    """Bring the partials up to date, add the days up, join the states that were valid."""
    config, as_of = context.config, context.as_of
    warehouse = context.warehouse
    today = daily.day_of(as_of)
    first = daily.kept_days(as_of, config.ctr_examples.window_days)
    daily.require_past(warehouse.read(data.EVENTS), as_of)
    events = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
    for entity, table in daily.TABLES.items():
        days = daily.stale_days(events, warehouse.read(table, required=False), since=first, until=today)
        stale = [row["event_date"] for row in days.collect()]  # days: bounded by the window
        if stale:
            warehouse.replace(
                table, daily.daily_partials(events, entity=entity, days=stale), where={"event_date": stale}
            )
    users = warehouse.read(data.USERS, valid_at=as_of, required=False)
    items = warehouse.read(data.ITEMS, valid_at=as_of, required=False)
    of_users = warehouse.read(data.USER_DAILY, required=False)
    of_items = warehouse.read(data.ITEM_DAILY, required=False)
    warehouse.replace(
        data.USER_FEATURES,
        features.user_features(events=events, daily=of_users, users=users, as_of=as_of),
        where={"as_of": as_of},
    )
    warehouse.replace(
        data.ITEM_FEATURES,
        features.item_features(events=events, daily=of_items, items=items, as_of=as_of),
        where={"as_of": as_of},
    )


if __name__ == "__main__":
    run.main()
