"""Give every user and item a dense integer that never changes.

Reads events, impressions, items and users before `as_of`; writes `user_index` and `item_index`, keyed by the public
id, insert-only.
"""

from __future__ import annotations

from recsys import data
from recsys.data.index import known_ids, new_rows
from recsys.pipeline import Context, job


@job(
    "index",
    reads=(data.EVENTS, data.IMPRESSIONS, data.ITEMS, data.USERS),
    writes=(data.USER_INDEX, data.ITEM_INDEX),
    config=("candidates.include_anonymous",),
    every_instant=True,
)
def run(context: Context) -> None:
    """Read, number what is new, insert."""
    config, as_of = context.config, context.as_of
    warehouse = context.warehouse
    events = warehouse.read(data.EVENTS, before=as_of)
    impressions = warehouse.read(data.IMPRESSIONS, before=as_of, required=False)
    for entity, table, source in (("user", data.USER_INDEX, data.USERS), ("item", data.ITEM_INDEX, data.ITEMS)):
        ids = known_ids(
            entity,
            as_of=as_of,
            events=events,
            impressions=impressions,
            states=warehouse.read(source, before=as_of, required=False),
            include_anonymous=config.candidates.include_anonymous,
        )
        known = warehouse.read(table, required=False)
        warehouse.merge(table, new_rows(entity, ids, known, as_of=as_of), update=False)


if __name__ == "__main__":
    run.main()
