"""Jobs over one small table, for the tests of runs."""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from recsys.config import Config, load_config
from recsys.data import RANKED, slice_of, stamp
from recsys.pipeline import Context, Job
from recsys.progress import step
from recsys.retrieval.popular.tables import POPULAR_ITEMS
from recsys.store import Replace, Warehouse, Writes
from recsys.store.contract import schema_of
from recsys.store.done import Done

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


def popular(spark: SparkSession, item: str, as_of: datetime = AS_OF) -> DataFrame:
    """One row of `popular_items`."""
    return spark.createDataFrame([(as_of, stamp(as_of), "popular", "", 1, item, 1.0)], schema_of(POPULAR_ITEMS))


def nothing(context: Context) -> Writes:
    """Writes nothing."""
    return Writes()


def writer(name: str = "popular", item: str = "a") -> Job:
    """A job that writes a row for its instant."""

    def run(context: Context) -> Writes:
        with step("count") as this:
            this.rows = 7
        return Writes([Replace(POPULAR_ITEMS, popular(context.spark, item, context.as_of), slice_of(context.as_of))])

    return Job(name, run, writes=(POPULAR_ITEMS,), config=("publish",))


def reader(name: str = "candidates") -> Job:
    """A job that reads what `writer` writes."""

    def run(context: Context) -> Writes:
        context.warehouse.read(POPULAR_ITEMS)
        return Writes()

    return Job(name, run, reads=(POPULAR_ITEMS,), config=("rank",))


def daily_lists(item: str = "a") -> Job:
    """A job whose slice is the run date, which two instants of a day share."""

    def run(context: Context) -> Writes:
        row = {"user_id": "u", "item_id": item, "as_of": context.as_of, "run_date": context.as_of.date(), "rank": 1}
        row |= {"score": 1.0, "score_parts": {}, "sources": ["x"], "reason_code": "picked", "reason": "Picked"}
        row |= {"model_version": "m", "generated_at": context.as_of}
        values = [tuple(row.get(name) for name in RANKED.column_names)]
        frame = context.spark.createDataFrame(values, schema_of(RANKED))
        return Writes([Replace(RANKED, frame, {"run_date": context.as_of.date()})])

    return Job("rank", run, writes=(RANKED,), config=("rank",))


def is_done(spark: SparkSession, job: Job, config: Config, as_of: datetime = AS_OF) -> bool:
    """Whether a pipeline would skip the job."""
    return Done(Warehouse(spark, config.warehouse), [as_of]).is_done(job.state(spark, config), as_of)


def other(config: Config, override: str) -> Config:
    """The same warehouse under another setting."""
    return load_config(overrides=[f"warehouse.path={config.warehouse.path}", override])
