"""Propose items for every user: ALS, neighbours of recent items and popularity, less what is seen or unavailable.

Reads events before `as_of`, users and items valid at it, item_index, the factors of this `as_of` and config,
item_neighbors and popular_items; writes the slice `run_date` of `candidates`, keyed by `run_date, user_id, item_id`.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config, version_of
from recsys.io import Warehouse
from recsys.progress import note
from recsys.retrieval.candidates import Sources, candidates
from recsys.retrieval.neighbors import KIND
from recsys.retrieval.propose import Asked
from recsys.retrieval.users import population
from recsys.retrieval.versions import stamped
from recsys.runner import Job
from recsys.transforms.interactions import pairs


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, propose, write."""
    warehouse, asked = Warehouse(spark, cfg.warehouse), cfg.candidates
    events = warehouse.read(tables.EVENTS, before=as_of)
    profiles = warehouse.read(tables.USERS, valid_at=as_of, required=False)
    users = {"user_window_days": asked.user_window_days, "include_anonymous": asked.include_anonymous}
    people = population(events, profiles, as_of=as_of, **users)
    past = pairs(events, as_of=as_of, seen_types=asked.seen_types, **cfg.signal.model_dump())
    settings = Asked(**asked.model_dump(include=set(Asked.__dataclass_fields__)))
    found = candidates(
        people, past, _sources(warehouse, cfg, as_of), settings, broadcast_limit_mb=cfg.spark.broadcast_limit_mb
    )
    run_date = as_of.date()
    warehouse.replace(tables.CANDIDATES, stamped(found, run_date=run_date, as_of=as_of), where={"run_date": run_date})


def _sources(warehouse: Warehouse, cfg: Config, as_of: datetime) -> Sources:
    """What the retrievers left for this instant; ALS only if its version is visible."""
    version = version_of("als", as_of, cfg.als, cfg.signal)
    visible = not warehouse.read(tables.MODELS, where={"model_version": version}, required=False).isEmpty()
    if not visible:
        note(f"no ALS factors under {version}: candidates come from neighbours and popularity alone")
    items = warehouse.read(tables.ITEMS, valid_at=as_of, required=False)
    where = {"model_version": version}
    return Sources(
        neighbors=warehouse.read(tables.ITEM_NEIGHBORS, where={"as_of": as_of, "kind": KIND}, required=False),
        popular=warehouse.read(tables.POPULAR_ITEMS, where={"as_of": as_of}),
        item_index=warehouse.read(tables.ITEM_INDEX),
        user_factors=warehouse.read(tables.ALS_USER_FACTORS, where=where) if visible else None,
        item_factors=warehouse.read(tables.ALS_ITEM_FACTORS, where=where) if visible else None,
        unavailable=items.where("NOT available") if cfg.candidates.exclude_unavailable else None,
    )


JOB = Job(
    "candidates",
    run,
    doc=__doc__,
    reads=(
        tables.EVENTS,
        tables.USERS,
        tables.ITEMS,
        tables.ITEM_INDEX,
        tables.MODELS,
        tables.ALS_USER_FACTORS,
        tables.ALS_ITEM_FACTORS,
        tables.ITEM_NEIGHBORS,
        tables.POPULAR_ITEMS,
    ),
    writes=(tables.CANDIDATES,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
