"""Publish the lists of the day, if every gate holds.

Reads the slice run_date of `ranked` and `candidates`, and events and items before `as_of`; replaces the slice run_date
of `recommendations`, keyed by `run_date, user_id, rank`, in one commit, and makes the SQL views.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.io.views import create_views
from recsys.progress import note, step
from recsys.runner import Job
from recsys.transforms import publishing


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, check the gates, replace the slice, refresh the views."""
    warehouse, today = Warehouse(spark, cfg.warehouse), {"run_date": as_of.date()}
    lists = publishing.published(warehouse.made_for(tables.RANKED, as_of), k=cfg.ranking.k)
    items = warehouse.read(tables.ITEMS, valid_at=as_of, required=False)
    past = warehouse.read(tables.EVENTS, before=as_of)
    seen = publishing.seen_pairs(past, as_of=as_of, seen_types=cfg.candidates.seen_types)
    with step("check the gates"):
        measured = publishing.gates(
            lists,
            candidates=warehouse.made_for(tables.CANDIDATES, as_of),
            items=items,
            seen=seen if cfg.candidates.exclude_seen else None,
            min_users_share=cfg.publish.min_users_share,
            min_list_length=cfg.publish.min_list_length,
            exclude_unavailable=cfg.candidates.exclude_unavailable,
            blocked_items=cfg.ranking.blocked_items,
            blocked_categories=cfg.ranking.blocked_categories,
        )
        held = publishing.require(measured, as_of=as_of)
    note(f"all {len(held)} gates hold: {', '.join(result.gate for result in held)}")
    rows = publishing.recommendations(lists, items=items, generated_at=datetime.now(UTC))
    warehouse.replace(tables.RECOMMENDATIONS, rows, where=today)
    if cfg.publish.optimize:
        warehouse.optimize(tables.RECOMMENDATIONS, where=today)
    create_views(spark, warehouse)


JOB = Job(
    "publish",
    run,
    doc=__doc__,
    reads=(tables.RANKED, tables.CANDIDATES, tables.ITEMS, tables.EVENTS),
    writes=(tables.RECOMMENDATIONS,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
