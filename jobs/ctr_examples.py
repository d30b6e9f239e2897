"""Make labelled examples with point-in-time features, and export them as Parquet shards.

Reads shown lists (else the candidates of an earlier instant), events, daily partials, items and users before `as_of`;
writes the slice `as_of` of `ctr_examples`, keyed by `as_of, example_id`, and its snapshot.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import SparkSession

from recsys import tables
from recsys.config import Config, stamp
from recsys.errors import NothingToDo
from recsys.io import Warehouse
from recsys.io.snapshot import export
from recsys.runner import Job
from recsys.transforms import daily, examples
from recsys.transforms.examples_features import example_features


def run(spark: SparkSession, cfg: Config, as_of: datetime) -> None:
    """Label, sample, compute features, split, write, export."""
    warehouse, x = Warehouse(spark, cfg.warehouse), cfg.examples
    first, today = daily.kept_days(as_of, x.window_days), daily.day_of(as_of)
    events = warehouse.read(tables.EVENTS, before=as_of, since=daily.midnight(first))
    partials = {entity: warehouse.read(table, required=False) for entity, table in daily.TABLES.items()}
    daily.require_complete(events, partials, since=first, until=today)
    earlier = as_of - timedelta(days=x.label_window_days)
    try:
        source = examples.choose(
            origin=x.origin,
            impressions=warehouse.read(tables.IMPRESSIONS, before=as_of, required=False),
            candidates=warehouse.read(tables.CANDIDATES, where={"run_date": daily.day_of(earlier)}, required=False),
            events=events,
            as_of=as_of,
            earlier=earlier,
            window_days=x.window_days,
            label_types=x.label_types,
        )
    except NothingToDo:
        # Examples of another config must not be taken for this one's.
        warehouse.clear(tables.CTR_EXAMPLES, where={"as_of": as_of})
        raise
    pairs = examples.sampled(source.pairs, rate=source.counts.sample_rate(x.negatives_per_positive))
    split = examples.split_by_user if source.instant else examples.split_by_time
    features = example_features(
        split(pairs, valid_share=x.valid_share, test_share=x.test_share),
        lists=source.lists,
        instant=source.instant,
        events=events,
        user_daily=partials["user"],
        item_daily=partials["item"],
        items=warehouse.read(tables.ITEMS, before=as_of, required=False),
        users=warehouse.read(tables.USERS, before=as_of, required=False),
        history_length=x.history_length,
    )
    warehouse.replace(tables.CTR_EXAMPLES, examples.labelled(features, as_of=as_of), where={"as_of": as_of})
    written = warehouse.read(tables.CTR_EXAMPLES, where={"as_of": as_of})
    export(written, warehouse.path("snapshots", "ctr_examples", stamp(as_of)), shards={"train": x.shards})


JOB = Job(
    "ctr_examples",
    run,
    doc=__doc__,
    reads=(
        tables.EVENTS,
        tables.IMPRESSIONS,
        tables.CANDIDATES,
        tables.USER_DAILY,
        tables.ITEM_DAILY,
        tables.ITEMS,
        tables.USERS,
    ),
    writes=(tables.CTR_EXAMPLES,),
)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    JOB.main(argv)


if __name__ == "__main__":
    main()
