"""The only place that builds a Spark session.

A session that already runs (Databricks, a notebook, `spark-submit` with one of its own) is reused as it is; what can
still be set then (time zone, Arrow, shuffle partitions) is set. Adaptive plans are on unless a user turns them off.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from recsys.config import Config
from recsys.errors import EnvironmentProblem

_RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "static",
    # The same in both Spark lines: an expression that can't be computed is null, which cleaning turns into a reason;
    # under ANSI one bad row would end the run instead.
    "spark.sql.ansi.enabled": "false",
    # A scored batch holds wide rows; Arrow's default of 10,000 is kept explicit because kernels are sized for it.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
}
_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_PLANS = {
    "spark.sql.adaptive.enabled": "true",
    # Spark 4 notes for each operation on a column which line of Python asked for it: ten calls to the JVM instead of
    # one, for a hint in errors about expressions, which here name the mapping's column instead.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
_LOCAL = {
    **_PLANS,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Delta's own defaults are made for tables of millions of files: 50 tasks for each snapshot.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.files.maxPartitionBytes": "64m",
    # A line plans hundreds of queries, many of them alike from job to job: with Spark's default of 100 generated
    # classes each is compiled again, and each plan is printed in full for a page of the UI that nobody opens.
    "spark.sql.codegen.cache.maxEntries": "2000",
    "spark.sql.ui.explainMode": "simple",
    # What is kept between two passes is read once or twice: finding the best encoding costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # The planner's codegen of very wide selects falls back by itself; its warning is noise on a terminal.
    "spark.log.level": "ERROR",
}
_CLUSTER = {
    **_PLANS,
    # Delta's default of 50 tasks is made for tables of millions of files; these have thousands.
    "spark.databricks.delta.snapshotPartitions": "8",
}
_FIXED_EXECUTORS = {
    # Ranks of a training run and exact top-k both want executors that stay.
    "spark.speculation": "false",
}

_FUNCTIONS = ("col", "lit", "expr", "when", "coalesce", "not")
"""Nine of ten calls of `pyspark.sql.functions` while a line is planned."""


def build_session(config: Config, app_name: str) -> SparkSession:
    """Return the running session, or build one by the config's profile.

    Raises
    ------
    EnvironmentProblem
        If the JVM can't be started or Delta is not on its class path.
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        spark = _start(config, app_name)
    _set_runtime(spark, config)
    _require_delta(spark)
    _keep_lookups(spark)
    if config.spark.profile != "databricks":
        spark.sparkContext.setCheckpointDir(config.spark.checkpoint_dir or f"{config.warehouse.path}/_checkpoints")
    return spark


def local_session(app_name: str, *, cores: int | None = None, extra: dict[str, str] | None = None) -> SparkSession:
    """Return a local session for scripts, notebooks and tests, with the defaults of the local profile.

    Parameters
    ----------
    cores : int, optional
        Threads; all by default.
    extra : dict of str to str, optional
        Further Spark settings.
    """
    scratch = tempfile.mkdtemp(prefix="recsys-")
    config = Config.model_validate(
        {
            "warehouse": {"path": scratch},
            "spark": {"profile": "local", "master": f"local[{cores or '*'}]", "conf": extra or {}},
        }
    )
    return build_session(config, app_name)


def delta_packages() -> str:
    """Maven coordinates of the Delta that fits the installed pyspark: `group:artifact_scala:version`."""
    scala = "2.13" if int(pyspark.__version__.split(".")[0]) >= 4 else "2.12"
    return f"io.delta:delta-spark_{scala}:{importlib.metadata.version('delta-spark')}"


def _start(config: Config, app_name: str) -> SparkSession:
    settings = config.spark
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    builder: Any = SparkSession.builder.appName(app_name)
    for key, value in {**_DELTA, **_RUNTIME, **_FIXED_EXECUTORS, **_defaults(settings.profile, submitted)}.items():
        builder = builder.config(key, value)
    if settings.profile == "local":
        builder = builder.config("spark.sql.warehouse.dir", f"{config.warehouse.path}/_catalog")
        if not submitted:
            builder = builder.config("spark.driver.memory", settings.driver_memory)
    if settings.master:
        builder = builder.master(settings.master)
    elif settings.profile == "local" and not submitted:
        builder = builder.master("local[*]")
    for key, value in {**_jars(config), **settings.conf}.items():
        builder = builder.config(key, value)
    # Executors run the interpreter of the driver unless the cluster says otherwise.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        return builder.getOrCreate()  # type: ignore[no-any-return]
    except Exception as error:
        raise EnvironmentProblem(
            f"Spark could not be started ({str(error).splitlines()[0]}); run `make doctor`, and check JAVA_HOME"
        ) from error


def _defaults(profile: str, submitted: bool) -> dict[str, str]:
    """Settings of a profile that spark-submit did not name itself."""
    defaults = _LOCAL if profile == "local" else _CLUSTER
    if not submitted:
        return defaults
    # Without a connection to spark-submit's JVM, a SparkConf knows nothing of what it was given.
    SparkContext._ensure_initialized()
    named = SparkConf()
    return {key: value for key, value in defaults.items() if not named.contains(key)}


def _jars(config: Config) -> dict[str, str]:
    """Where Delta's jars come from: a folder, pyspark's own jars, or else the package resolver."""
    if config.spark.jars_dir:
        folder = Path(config.spark.jars_dir)
        jars = sorted(str(jar) for jar in folder.glob("*.jar"))
        if not jars:
            raise EnvironmentProblem(f"spark.jars_dir {folder}: no jars there; fill it with `make jars JARS={folder}`")
        return {"spark.jars": ",".join(jars)}
    home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    if any(home.glob("jars/*delta-spark*.jar")):
        return {}
    return {"spark.jars.packages": delta_packages()}


def _set_runtime(spark: SparkSession, config: Config) -> None:
    for key, value in _RUNTIME.items():
        spark.conf.set(key, value)
    partitions = config.spark.shuffle_partitions
    if partitions is None and config.spark.profile == "local":
        partitions = max(2, spark.sparkContext.defaultParallelism * 2)
    if partitions is not None:
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))


def _keep_lookups(spark: SparkSession) -> None:
    """Keep what pyspark looks up in the JVM again for every column.

    For each `F.col("name")` it asks three times: for the class, through all jars where the name is a short one; for
    the method; and for the column. The first two answers never change, and an attribute that is there isn't asked for.
    """
    jvm: Any = spark._jvm
    functions = getattr(jvm, "org.apache.spark.sql.functions")
    for name in _FUNCTIONS:
        setattr(functions, name, getattr(functions, name))
    jvm.functions = functions
    setattr(jvm, "org.apache.spark.sql.functions", functions)
    jvm.PythonUtils = getattr(jvm, "org.apache.spark.api.python.PythonUtils")
    jvm.PythonUtils.toSeq = jvm.PythonUtils.toSeq


def _require_delta(spark: SparkSession) -> None:
    extensions = spark.conf.get("spark.sql.extensions", "") or ""
    if on_databricks(spark) or "DeltaSparkSessionExtension" in extensions:
        try:
            getattr(spark._jvm, "java.lang.Class").forName("io.delta.tables.DeltaTable")
            return
        except Exception:
            pass
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    offline = "--jars with what `make jars` fetched" if submitted else "set spark.jars_dir to what `make jars` filled"
    raise EnvironmentProblem(
        "the Spark session has no Delta Lake: start it with `spark-submit --packages "
        f"{delta_packages()} --conf spark.sql.extensions={_DELTA['spark.sql.extensions']} "
        f"--conf spark.sql.catalog.spark_catalog={_DELTA['spark.sql.catalog.spark_catalog']}`; "
        f"without a registry: {offline}"
    )


def on_databricks(spark: SparkSession) -> bool:
    """Tell whether the session is Databricks' own, which brings Delta with it."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or bool(
        spark.conf.get("spark.databricks.clusterUsageTags.clusterId", "")
    )
