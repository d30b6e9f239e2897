"""Propose items for every user: the union of what the retrievers propose, less what is seen or unavailable.

Reads events and shown lists before `as_of`, users and items valid at it, user_index and item_index, what the retrievers
of the config learned for this `as_of`, and the weights of their union; writes the slice `run_date` of `candidates`,
keyed by `run_date, user_id, item_id`.
"""

from __future__ import annotations

from datetime import timedelta

from recsys import data
from recsys.pipeline import Context, job
from recsys.progress import note
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.candidates import candidates
from recsys.retrieval.frames import Eligible, persisted
from recsys.retrieval.interactions import pairs
from recsys.retrieval.viewed import with_viewed
from recsys.store import Clear, Replace, Writes
from recsys.store.models import stamped
from recsys.store.retrievers import fitted_blend, read_models


@job(
    "candidates",
    reads=(
        data.EVENTS,
        data.IMPRESSIONS,
        data.USERS,
        data.ITEMS,
        data.USER_INDEX,
        data.ITEM_INDEX,
        data.MODELS.of("retriever"),
        data.MODELS.of(registry.FUSION),
        *registry.tables(),
    ),
    writes=(data.CANDIDATES,),
    config=("candidates", "signal", "retrievers"),
)
def run(context: Context) -> Writes:
    """Read, propose."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    settings, run_date, limit = config.candidates, as_of.date(), config.spark.broadcast_limit_mb
    audience = audience_of(context)
    models = read_models(
        warehouse, config.retrievers, as_of=as_of, signal=config.signal, audience=audience, broadcast_limit_mb=limit
    )
    names = [one.name for one in config.retrievers]
    absent = sorted(set(names) - {model.settings.name for model in models})
    if not models:
        why = (
            f"no retriever ({', '.join(absent)}) has learned anything for {as_of:%Y-%m-%dT%H:%M:%SZ} under these "
            "settings; run the job retrievers for this as_of, and read why it left them out"
        )
        return Writes([Clear(data.CANDIDATES, {"run_date": run_date})], nothing=why)
    if absent:
        note(f"candidates come without {', '.join(absent)}, which learned nothing for this as_of")
    gone = warehouse.read(data.ITEMS, valid_at=as_of, required=False).where("NOT available").select("item_id")
    eligible = Eligible(context.keep(persisted(gone)), listed=False) if settings.exclude_unavailable else None
    blend = fitted_blend(warehouse, as_of=as_of, names=names) if settings.fit_weights else None
    found = candidates(audience, models, settings, blend=blend, eligible=eligible, broadcast_limit_mb=limit)
    rows = stamped(found, {"run_date": run_date, "as_of": as_of})
    return Writes([Replace(data.CANDIDATES, rows, {"run_date": run_date})])


def audience_of(context: Context) -> Audience:
    """Read who may get lists, and what they did, or were shown if they did nothing."""
    settings, as_of, warehouse = context.config.candidates, context.as_of, context.warehouse
    events = warehouse.read(data.EVENTS, before=as_of)
    since = as_of - timedelta(days=settings.shown_window_days)
    shown = warehouse.read(data.IMPRESSIONS, before=as_of, since=since, required=False)
    people = known_users(
        events,
        warehouse.read(data.USERS, valid_at=as_of, required=False),
        as_of=as_of,
        shown=shown,
        indexed=warehouse.read(data.USER_INDEX, required=False),
        user_window_days=settings.user_window_days,
        include_anonymous=settings.include_anonymous,
    )
    histories = pairs(events, as_of=as_of, signal=context.config.signal, seen_types=settings.seen_types)
    if not shown.isEmpty():
        # Asked twice: who gets lists, and whose past are shown lists.
        people = context.keep(persisted(people))
        histories = with_viewed(histories, people, shown, as_of=as_of)
    return Audience(people, histories, context.keep(persisted(warehouse.read(data.ITEM_INDEX))))


if __name__ == "__main__":
    run.main()
