"""Find the items that the same people touch.

Reads events before `as_of` and item_index; writes the slice `as_of`, kind cooccurrence, of `item_neighbors`, keyed by
`as_of, kind, item_id, rank`.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config
from recsys.io import Warehouse
from recsys.retrieval.base import Frames, persisted
from recsys.retrieval.neighbors import KIND, NeighborsRetriever
from recsys.retrieval.versions import stamped
from recsys.runner import Job
from recsys.transforms.interactions import interactions


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, count common users, write the nearest."""
    warehouse = Warehouse(spark, cfg.warehouse)
    events = warehouse.read(tables.EVENTS, before=as_of)
    users, items = warehouse.read(tables.USER_INDEX), warehouse.read(tables.ITEM_INDEX)
    settings = {**cfg.neighbors.model_dump(), "broadcast_limit_mb": cfg.spark.broadcast_limit_mb}
    with persisted(interactions(events, as_of=as_of, **cfg.signal.model_dump())) as pairs:
        model = NeighborsRetriever(**settings).fit(Frames(as_of, events, pairs, users, items))
        where = {"as_of": as_of, "kind": KIND}
        warehouse.replace(tables.ITEM_NEIGHBORS, stamped(model.neighbors, **where), where=where)


JOB = Job(
    "neighbors",
    run,
    doc=__doc__,
    reads=(tables.EVENTS, tables.USER_INDEX, tables.ITEM_INDEX),
    writes=(tables.ITEM_NEIGHBORS,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
