"""Publish the lists of the day, if every gate holds.

Reads the slice run_date of `ranked` and `candidates`, and events and items before `as_of`; replaces the slice run_date
of `recommendations`, keyed by `run_date, user_id, rank`, in one commit, and makes the SQL views.
"""

from __future__ import annotations

from datetime import UTC, datetime

from recsys import data
from recsys.errors import DataError
from recsys.pipeline import Context, job
from recsys.progress import note, step
from recsys.publishing import gates as publishing
from recsys.store import Replace, Writes
from recsys.store.views import create_views


@job(
    "publish",
    reads=(data.RANKED, data.CANDIDATES, data.ITEMS, data.EVENTS),
    writes=(data.RECOMMENDATIONS,),
    config=(
        "publish",
        "rank.k",
        "rank.blocked_items",
        "rank.blocked_categories",
        "candidates.seen_types",
        "candidates.exclude_seen",
        "candidates.exclude_unavailable",
    ),
)
def run(context: Context) -> Writes:
    """Read, check the gates."""
    config, as_of = context.config, context.as_of
    warehouse, today = context.warehouse, {"run_date": as_of.date()}
    made = {**today, "as_of": as_of}
    lists = publishing.published(warehouse.read(data.RANKED, where=made), k=config.rank.k)
    items = warehouse.read(data.ITEMS, valid_at=as_of, required=False)
    past = warehouse.read(data.EVENTS, before=as_of)
    seen = publishing.seen_events(past, as_of=as_of, seen_types=config.candidates.seen_types)
    with step("check the gates"):
        measured = publishing.gates(
            lists,
            candidates=warehouse.read(data.CANDIDATES, where=made),
            items=items,
            seen=seen if config.candidates.exclude_seen else None,
            min_users_share=config.publish.min_users_share,
            min_list_length=config.publish.min_list_length,
            exclude_unavailable=config.candidates.exclude_unavailable,
            blocked_items=config.rank.blocked_items,
            blocked_categories=config.rank.blocked_categories,
        )
        try:
            held = publishing.require(measured, as_of=as_of)
        except DataError:
            # Lists that were never made are another matter than lists that are not good enough.
            for table in (data.RANKED, data.CANDIDATES):
                warehouse.require_made(table, as_of)
            raise
    note(f"all {len(held)} gates hold: {', '.join(result.gate for result in held)}")
    rows = publishing.recommendations(lists, items=items, generated_at=datetime.now(UTC))

    def finish() -> None:
        if config.publish.optimize:
            warehouse.optimize(data.RECOMMENDATIONS, where=today)
        create_views(context.spark, warehouse)

    return Writes([Replace(data.RECOMMENDATIONS, rows, today)], afterwards=finish)


if __name__ == "__main__":
    run.main()
