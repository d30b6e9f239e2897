"""What a job gets: session, config, instant, warehouse, recorder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pyspark.sql import SparkSession

from recsys import progress
from recsys.config import Config, config_json
from recsys.progress import Recorder
from recsys.store import Warehouse


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
    warehouse : Warehouse
        The tables.
    recorder : Recorder
        The run's steps, and the tables that it read and wrote.
    resolved : str
        The whole config as JSON, to be stored with the run's results.
    """

    spark: SparkSession
    config: Config
    as_of: datetime
    warehouse: Warehouse
    recorder: Recorder
    resolved: str

    @classmethod
    def of(cls, spark: SparkSession, config: Config, as_of: datetime) -> Self:
        """Make the context of a run in a session."""
        return cls(spark, config, as_of, Warehouse(spark, config.warehouse), progress.current(), config_json(config))
