"""Sum days up and derive what is known of each user and item as of an instant.

Reads events, shown lists, users and items before `as_of`; writes the days of `user_daily` and `item_daily` that are
missing or stale, and the slice `as_of` of `user_features` and `item_features`, keyed by the public id, of
`position_effects`, keyed by position, and of `user_interests`, keyed by `user_id, kind, tag`.
"""

from __future__ import annotations

from datetime import timedelta

from recsys import data
from recsys.features import daily
from recsys.features import entities as features
from recsys.features.interests import user_interests
from recsys.features.ladder import days_back
from recsys.features.positions import position_effects
from recsys.features.shown import shown_items
from recsys.pipeline import Context, job
from recsys.retrieval.frames import persisted
from recsys.store import Clear, Replace, Write, Writes


@job(
    "features",
    reads=(data.EVENTS, data.IMPRESSIONS, data.USERS, data.ITEMS),
    writes=(
        data.USER_DAILY,
        data.ITEM_DAILY,
        data.USER_FEATURES,
        data.ITEM_FEATURES,
        data.POSITION_EFFECTS,
        data.USER_INTERESTS,
    ),
    config=(
        "ctr_examples.window_days",
        "ctr_examples.instants",
        "ctr_examples.cadence_days",
        "evaluate.horizon_days",
        "ctr_examples.priors",
        "ctr_examples.prior_window_days",
        "interests",
        "signal.weights",
    ),
)
def run(context: Context) -> Writes:
    """Bring the partials up to date, add the days up, join the states that were valid."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    today = daily.day_of(as_of)
    x = config.ctr_examples
    reach = days_back(
        window_days=x.window_days,
        horizon_days=config.evaluate.horizon_days,
        instants=x.instants,
        cadence_days=x.cadence_days,
    )
    first = daily.kept_days(as_of, reach)
    events = warehouse.read(data.EVENTS, before=as_of, since=daily.midnight(first))
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    writes: list[Write] = []
    counts = daily.day_counts(events, partials, since=first, until=today)
    if not counts.logged:
        daily.require_past(warehouse.read(data.EVENTS), as_of)
    for entity, table in daily.TABLES.items():
        stale = counts.stale(entity)
        if stale:
            fresh = context.keep(persisted(daily.daily_partials(events, entity=entity, days=stale)))
            partials[entity] = daily.renewed(partials[entity], fresh, days=stale)
            writes.append(Replace(table, fresh, {"event_date": stale}))
    of_users = features.user_features(
        events=events,
        daily=partials["user"],
        users=warehouse.read(data.USERS, valid_at=as_of, required=False),
        as_of=as_of,
    )
    of_items = features.item_features(
        events=events,
        daily=partials["item"],
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        as_of=as_of,
    )
    today_slice = data.slice_of(as_of)
    writes += [Replace(data.USER_FEATURES, of_users, today_slice), Replace(data.ITEM_FEATURES, of_items, today_slice)]
    return Writes([*writes, _positions(context), _interests(context)])


def _positions(context: Context) -> Write:
    """Estimate the effect of positions from the lists of the days before, if they are wanted and tell anything."""
    x, as_of, warehouse = context.config.ctr_examples, context.as_of, context.warehouse
    since = daily.midnight(daily.day_of(as_of) - timedelta(days=x.prior_window_days))
    found = None
    if x.priors:
        shown = shown_items(
            warehouse.read(data.IMPRESSIONS, before=as_of, since=since, required=False),
            warehouse.read(data.EVENTS, before=as_of, since=since),
        )
        found = position_effects(context.keep(persisted(shown)), as_of=as_of)
    where = data.slice_of(as_of)
    return Clear(data.POSITION_EFFECTS, where) if found is None else Replace(data.POSITION_EFFECTS, found, where)


def _interests(context: Context) -> Write:
    """Say what users are interested in, if that is wanted and there is a catalog that has words for it."""
    settings, as_of, warehouse = context.config.interests, context.as_of, context.warehouse
    where = data.slice_of(as_of)
    if not settings.enabled or not warehouse.exists(data.ITEMS):
        return Clear(data.USER_INTERESTS, where)
    found = user_interests(
        events=warehouse.read(data.EVENTS, before=as_of, since=as_of - timedelta(days=settings.window_days)),
        items=warehouse.read(data.ITEMS, valid_at=as_of),
        as_of=as_of,
        weights=context.config.signal.weights,
        settings=settings,
    )
    return Replace(data.USER_INTERESTS, found, where)


if __name__ == "__main__":
    run.main()
