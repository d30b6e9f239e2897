"""Propose items for every user: the union of what the retrievers propose, less what is seen or unavailable.

Reads events before `as_of`, users and items valid at it, item_index, what the retrievers of the config learned for
this `as_of`, and the weights of their union; writes the slice `run_date` of `candidates`, keyed by
`run_date, user_id, item_id`.
"""

from __future__ import annotations

from recsys import data
from recsys.pipeline import Context, job
from recsys.progress import note
from recsys.retrieval import registry
from recsys.retrieval.audience import Audience, known_users
from recsys.retrieval.candidates import candidates
from recsys.retrieval.frames import Eligible, persisted
from recsys.retrieval.interactions import pairs
from recsys.store import Clear, Replace, Writes
from recsys.store.models import stamped
from recsys.store.retrievers import fitted_blend, read_models


@job(
    "candidates",
    reads=(
        data.EVENTS,
        data.USERS,
        data.ITEMS,
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
    events = warehouse.read(data.EVENTS, before=as_of)
    profiles = warehouse.read(data.USERS, valid_at=as_of, required=False)
    window = {"user_window_days": settings.user_window_days, "include_anonymous": settings.include_anonymous}
    audience = Audience(
        people=known_users(events, profiles, as_of=as_of, **window),
        histories=pairs(events, as_of=as_of, signal=config.signal, seen_types=settings.seen_types),
        item_index=context.keep(persisted(warehouse.read(data.ITEM_INDEX))),
    )
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


if __name__ == "__main__":
    run.main()
