"""How many Spark jobs something costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark import SparkContext
from pyspark.sql import SparkSession

_MARK = "marks the place between jobs"


@dataclass
class Jobs:
    """Spark jobs run within a block; 0 until the block has ended."""

    count: int = 0


@contextmanager
def counting_jobs(spark: SparkSession) -> Iterator[Jobs]:
    """Count the jobs of a block with adaptive plans as in production: numbers of jobs follow one another."""
    key = "spark.sql.adaptive.enabled"
    before, jobs = spark.conf.get(key), Jobs()
    spark.conf.set(key, "true")
    first = _next_job(spark.sparkContext)
    try:
        yield jobs
    finally:
        jobs.count = _next_job(spark.sparkContext) - first - 1
        spark.conf.set(key, before or "true")


def _next_job(context: SparkContext) -> int:
    """Run a job of one empty task and return its number."""
    context.setJobGroup(_MARK, _MARK)
    try:
        context.parallelize([0], 1).count()
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
        context.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]
    return max(context.statusTracker().getJobIdsForGroup(_MARK))
