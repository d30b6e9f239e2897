"""Fit every retriever of the config.

Reads events before `as_of`, users and items valid at it, user_index and item_index; writes each retriever's slices of
its own tables, and last the rows of `models` that make the fits visible. A retriever that finds too little to learn
from is left out.
"""

from __future__ import annotations

from recsys import data
from recsys.data.log import Log
from recsys.errors import NothingToDo
from recsys.pipeline import Context, Part, job
from recsys.progress import note
from recsys.retrieval import registry
from recsys.retrieval.frames import persisted
from recsys.retrieval.interactions import interactions
from recsys.store import Writes
from recsys.store.retrievers import Fit, writes_of


@job(
    "retrievers",
    reads=(data.EVENTS, data.USERS, data.ITEMS, data.USER_INDEX, data.ITEM_INDEX),
    writes=(*registry.tables(), data.MODELS.of("retriever")),
    config=("signal", Part("retrievers", registry.fit_settings)),
)
def run(context: Context) -> Writes:
    """Read, fit."""
    config, as_of, warehouse = context.config, context.as_of, context.warehouse
    log = Log(
        events=warehouse.read(data.EVENTS, before=as_of),
        as_of=as_of,
        users=warehouse.read(data.USERS, valid_at=as_of, required=False),
        items=warehouse.read(data.ITEMS, valid_at=as_of, required=False),
        user_index=warehouse.read(data.USER_INDEX),
        item_index=warehouse.read(data.ITEM_INDEX),
    )
    shared = context.keep(persisted(interactions(log.events, as_of=as_of, signal=config.signal)))
    fits: list[Fit] = []
    too_little = []
    for retriever in config.retrievers:
        try:
            model = retriever.fit(
                log, signal=config.signal, interactions=shared, broadcast_limit_mb=config.spark.broadcast_limit_mb
            )
        except NothingToDo as reason:
            too_little.append(str(reason))
            note(f"{retriever.name} is left out: {reason}")
            fits.append((retriever, None))
        else:
            fits.append((retriever, model))
    writes = writes_of(warehouse, fits, as_of=as_of, signal=config.signal, config=context.resolved)
    return Writes(writes, nothing="; ".join(too_little) if len(too_little) == len(fits) else None)


if __name__ == "__main__":
    run.main()
