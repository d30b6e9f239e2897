"""What a job gets: session, config, instant, warehouse, recorder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, TypeVar

from pyspark.sql import DataFrame, SparkSession

from recsys.config import Config, config_json, stamp
from recsys.data.log import as_instant
from recsys.progress import Recorder
from recsys.store import PinnedWarehouse
from recsys.store.scratch import scratch

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One run of a job.

    Attributes
    ----------
    spark : SparkSession
        The session of the run.
    config : Config
        The resolved config; a job can read the keys that it declares, and where things run and are stored.
    as_of : datetime
        Exclusive bound of what the run may know (UTC).
    warehouse : PinnedWarehouse
        The tables, each at one version from its first read on.
    recorder : Recorder
        The run's steps.
    resolved : str
        The whole config as JSON, to be stored with the run's results.
    until_committed : ExitStack
        What is closed once everything is committed, or the run has failed.
    run_id : str
        The run's id in `runs`; empty outside of a run.
    """

    spark: SparkSession
    config: Config
    as_of: datetime
    warehouse: PinnedWarehouse
    recorder: Recorder
    resolved: str
    until_committed: ExitStack = field(default_factory=ExitStack)
    run_id: str = ""

    @classmethod
    def of(cls, spark: SparkSession, config: Config, as_of: datetime) -> Self:
        """Make a context outside of a run, to read with; an `as_of` without an offset is UTC."""
        warehouse = PinnedWarehouse(spark, config.warehouse)
        return cls(spark, config, as_instant(as_of), warehouse, Recorder(), config_json(config))

    def scratch(self) -> Callable[[DataFrame], DataFrame]:
        """Return what writes an intermediate frame to files and reads them back, until the run's writes are committed.

        For frames that many queries read; see `recsys.store.scratch`.
        """
        name = f"{self.recorder.job or 'reading'}-{stamp(self.as_of)}"
        return self.keep(scratch(self.warehouse, name))

    def keep(self, resource: AbstractContextManager[T]) -> T:
        """Enter a block that ends when the run's writes are committed: a persisted frame, files being read."""
        return self.until_committed.enter_context(resource)
