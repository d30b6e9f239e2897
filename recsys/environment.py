"""Where jobs run and where their files are: sections that never change a result."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from recsys.settings import Entries, Identifier, NonNegativeInt, PositiveInt, Section, conflict

BROADCAST_LIMIT_MB = 256
"""Largest thing that is broadcast, unless the config or a caller says otherwise."""


class WarehouseSettings(Section):
    """Where the tables live."""

    path: str = Field(
        "warehouse",
        min_length=1,
        description="Directory of the tables in path mode; also holds models, snapshots and reports",
    )
    catalog: Identifier | None = Field(
        None, description="Catalog of the tables; with `database_name` switches to catalog mode"
    )
    database_name: Identifier | None = Field(
        None, description="Schema of the tables in catalog mode; null means path mode"
    )
    period: Literal["auto", "day", "month", "year"] = Field(
        "auto",
        description="Grain of date partitions; auto picks one from the first batch so that a partition is worth a file",
    )

    @model_validator(mode="after")
    def _is_one_mode(self) -> WarehouseSettings:
        if self.catalog is not None and self.database_name is None:
            raise conflict(
                f"warehouse.catalog {self.catalog} needs warehouse.database_name, the schema of the tables; without it "
                "they are directories of warehouse.path"
            )
        return self


class InputSettings(Section):
    """Where the raw logs are."""

    root: str | None = Field(None, description="Directory that the paths of the dataset mapping are relative to")
    trusted_paths: tuple[str, ...] = Field(
        (), description="Places outside `root` that a mapping may name too, with everything below them"
    )


class SparkSettings(Section):
    """The Spark session. Ignored if a session is already running (Databricks, notebooks)."""

    profile: Literal["local", "cluster", "databricks"] = Field("local", description="Which defaults the session has")
    master: str | None = Field(
        None, description="Master URL; null leaves it to spark-submit, or local[*] in the local profile"
    )
    driver_memory: str = Field("6g", pattern=r"^[1-9]\d*[mg]$", description="Driver memory of the local profile")
    shuffle_partitions: PositiveInt | None = Field(
        None, description="Shuffle partitions; null: 2 per core locally, Spark's own on clusters"
    )
    checkpoint_dir: str | None = Field(None, description="Directory for ALS checkpoints; null: inside the warehouse")
    jars_dir: str | None = Field(
        None, description="Folder with the Delta jars (`make jars`), for machines without a registry"
    )
    quick_below_mb: NonNegativeInt = Field(
        32,
        description="Local profile: below this size of input and warehouse together, expressions are interpreted and the JVM compiles less, which a small run ends sooner with; 0: never",
    )
    broadcast_limit_mb: PositiveInt = Field(
        BROADCAST_LIMIT_MB, description="Largest object that is broadcast; above it a partitioned path is taken"
    )
    conf: Annotated[dict[str, str], Entries()] = Field(
        default_factory=dict, description="Further Spark settings, as spark.key: value; null removes one"
    )


class RunnerSettings(Section):
    """How runs of jobs are kept apart."""

    lease_minutes: PositiveInt = Field(
        30, description="A run on another host whose heartbeat is older than this is taken as dead"
    )


WEEK: Final = 7
"""Days below which removing old files needs to be asked for twice: readers and running jobs may still need them."""


class MaintainSettings(Section):
    """`maintain`: how the tables are kept small and quick."""

    retention_days: NonNegativeInt = Field(
        WEEK,
        description="Files that no version of a table has needed for so many days are deleted (VACUUM); earlier versions can't be read afterwards",
    )
    short_retention: bool = Field(
        False, description="Allows a `retention_days` below 7; no other job may be running then"
    )
    file_mb: PositiveInt = Field(128, description="Files smaller than this are put together, up to about this size")
    keep_days: Annotated[dict[str, PositiveInt], Entries()] = Field(
        default_factory=dict,
        description="Table to days: slices that are so much older than its newest one are removed; `fits` stands for all that retrievers have learned. Slices of the ladder stay. Nothing is removed by default",
    )

    @model_validator(mode="after")
    def _is_meant(self) -> MaintainSettings:
        if self.retention_days < WEEK and not self.short_retention:
            raise conflict(
                f"maintain.retention_days {self.retention_days} is below {WEEK}, which takes files from readers that "
                "are still at work; set maintain.short_retention=true as well if that is meant"
            )
        return self


class Environment(Section):
    """Where jobs run and where their files are.

    No key of it changes a result, but that approximate search needs room for its graph below `broadcast_limit_mb`.
    """

    warehouse: WarehouseSettings = WarehouseSettings()
    input: InputSettings = InputSettings()
    spark: SparkSettings = SparkSettings()
    runner: RunnerSettings = RunnerSettings()
    maintain: MaintainSettings = MaintainSettings()
