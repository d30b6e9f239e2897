"""Rank items by how many people touched them lately, overall and by segment.

Reads events before `as_of`, and users and items valid at it; writes the slice `as_of` of `popular_items`, keyed by
`as_of, segment, rank`.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.retrieval.base import Frames, persisted
from recsys.retrieval.popular import PopularRetriever, with_catalogue
from recsys.retrieval.versions import stamped
from recsys.runner import Job


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, count, fill up from the catalogue, write."""
    warehouse = Warehouse(spark, cfg.warehouse)
    events = warehouse.read(tables.EVENTS, before=as_of)
    profiles = warehouse.read(tables.USERS, valid_at=as_of, required=False)
    catalogue = warehouse.read(tables.ITEMS, valid_at=as_of, required=False)
    frames = Frames(as_of, events, users=profiles)
    counted = {"weights": cfg.signal.weights, "min_value": cfg.signal.min_value}
    model = PopularRetriever(**cfg.popular.model_dump(), **counted).fit(frames)
    with persisted(model.popular) as lists:
        filled = with_catalogue(lists, catalogue, k=cfg.popular.k)
        warehouse.replace(tables.POPULAR_ITEMS, stamped(filled, as_of=as_of), where={"as_of": as_of})


JOB = Job(
    "popular",
    run,
    doc=__doc__,
    reads=(tables.EVENTS, tables.USERS, tables.ITEMS),
    writes=(tables.POPULAR_ITEMS,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
