"""What a job says when a table or a slice is missing: "not run" and "ran, and made nothing" are different sentences."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.config import Config, load_config
from recsys.errors import DataError, NothingToDo
from recsys.pipeline import Context, Job, execute
from recsys.store import Writes
from tests.support.shops import ROOT

pytestmark = pytest.mark.spark

AS_OF = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    shop = ROOT / "conf/datasets/synthetic-shop.yaml"
    return load_config(dataset=shop, overrides=[f"warehouse.path={tmp_path}/w"])


def _rank(context: Context) -> Writes:
    context.warehouse.require_made(data.CANDIDATES, context.as_of)
    return Writes()


def _features(context: Context) -> Writes:
    context.warehouse.read(data.EVENTS)
    return Writes()


def _after(name: str, spark: SparkSession, config: Config, writes: Writes) -> None:
    """Run a job of the name of a real one."""
    job = Job(name, lambda context: writes, writes=(data.CANDIDATES,))
    try:
        execute(job, spark, config, AS_OF)
    except NothingToDo:
        assert writes.nothing


def _sentence(job: Job, spark: SparkSession, config: Config) -> str:
    with pytest.raises(DataError) as caught:
        execute(job, spark, config, AS_OF)
    return str(caught.value)


def test_a_job_that_has_not_run_is_to_be_run(spark: SparkSession, config: Config) -> None:
    said = _sentence(Job("rank", _rank), spark, config)
    assert said.endswith("holds nothing for 2024-03-01T00:00:00Z; run the job candidates for this as_of first")


def test_a_job_that_found_nothing_is_not_to_be_run_again(spark: SparkSession, config: Config) -> None:
    _after("candidates", spark, config, Writes(nothing="no retriever has learned anything"))
    said = _sentence(Job("rank", _rank), spark, config)
    assert said.endswith(
        "the job candidates ran for this as_of and found nothing to do (no retriever has learned anything)"
    )


def test_a_job_that_made_nothing_names_what_it_reads(spark: SparkSession, config: Config) -> None:
    _after("candidates", spark, config, Writes())
    said = _sentence(Job("rank", _rank), spark, config)
    assert "the job candidates ran for this as_of and made nothing of what it reads (events, " in said


def test_a_mapping_without_a_source_of_events_is_named(spark: SparkSession, config: Config) -> None:
    _after("clean", spark, config, Writes())
    said = _sentence(Job("features", _features), spark, config)
    assert said.endswith("the job clean ran and made none: the dataset mapping has no source that fills it; add one")
