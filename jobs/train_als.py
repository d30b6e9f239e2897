"""Factorise users x items.

Reads events before `as_of`, user_index and item_index; writes `als_user_factors` and `als_item_factors`, keyed by
`model_version, idx`, and last the row of `models` that makes the version visible.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config, config_json, version_of
from recsys.io import Warehouse
from recsys.progress import current
from recsys.retrieval.als import AlsRetriever
from recsys.retrieval.base import Frames
from recsys.retrieval.versions import stamped, version_row
from recsys.runner import Job
from recsys.transforms.interactions import signals


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Read, fit, write the factors, make the version visible."""
    warehouse = Warehouse(spark, cfg.warehouse)
    version = version_of("als", as_of, cfg.als, cfg.signal)
    events = warehouse.read(tables.EVENTS, before=as_of)
    pairs = signals(events, as_of=as_of, implicit=cfg.als.implicit, **cfg.signal.model_dump())
    users, items = warehouse.read(tables.USER_INDEX), warehouse.read(tables.ITEM_INDEX)
    model = AlsRetriever(**cfg.als.model_dump()).fit(Frames(as_of, events, pairs, users, items))
    slices = {"model_version": version}
    # A version is visible while its row is there: an earlier fit of it is hidden before its factors change.
    warehouse.clear(tables.MODELS, where=slices)
    warehouse.replace(tables.ALS_USER_FACTORS, stamped(model.user_factors, **slices), where=slices)
    warehouse.replace(tables.ALS_ITEM_FACTORS, stamped(model.item_factors, **slices), where=slices)
    row = version_row(
        spark,
        version=version,
        kind="als",
        as_of=as_of,
        config=config_json(cfg),
        metrics=model.metrics,
        data_versions=current().reads,
    )
    warehouse.merge(tables.MODELS, row, update=True)


JOB = Job(
    "train_als",
    run,
    doc=__doc__,
    reads=(tables.EVENTS, tables.USER_INDEX, tables.ITEM_INDEX),
    writes=(tables.ALS_USER_FACTORS, tables.ALS_ITEM_FACTORS, tables.MODELS),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
