"""Give every user and item a dense integer that never changes.

Reads events, impressions, items and users before `as_of`; writes `user_index` and `item_index`, keyed by the public
id, insert-only.
"""

from __future__ import annotations

from recsys import data
from recsys.data.index import known_ids, new_rows
from recsys.pipeline import Context, job
from recsys.retrieval.frames import persisted
from recsys.store import Merge, Write, Writes


@job(
    "index",
    reads=(data.EVENTS, data.IMPRESSIONS, data.ITEMS, data.USERS),
    writes=(data.USER_INDEX, data.ITEM_INDEX),
    config=("candidates.include_anonymous",),
    every_instant=True,
)
def run(context: Context) -> Writes:
    """Read, number what is new."""
    config, as_of = context.config, context.as_of
    warehouse = context.warehouse
    events = warehouse.read(data.EVENTS, before=as_of)
    impressions = warehouse.read(data.IMPRESSIONS, before=as_of, required=False)
    writes: list[Write] = []
    for entity, table, source in (("user", data.USER_INDEX, data.USERS), ("item", data.ITEM_INDEX, data.ITEMS)):
        found = known_ids(
            entity,
            as_of=as_of,
            events=events,
            impressions=impressions,
            states=warehouse.read(source, before=as_of, required=False),
            include_anonymous=config.candidates.include_anonymous,
        )
        known = warehouse.read(table, required=False)
        # Numbering reads the ids twice: without this the files of every table would be listed as often.
        ids = context.keep(persisted(found))
        writes.append(Merge(table, new_rows(entity, ids, known, as_of=as_of)))
    return Writes(writes)


if __name__ == "__main__":
    run.main()
