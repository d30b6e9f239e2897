"""The only place that builds a Spark session.

A session that is already running (Databricks, a notebook) is reused; only what can still be changed then (time zone,
Arrow, shuffle partitions) is set. Under `spark-submit`, whatever the user passes with `--conf` wins over the profile's
defaults, and a Log4j configuration of the user's own over the log level.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from recsys import quick
from recsys.environment import Environment
from recsys.errors import EnvironmentProblem
from recsys.progress import note
from recsys.sharing import Shared, shared_file

T = TypeVar("T")

UTC_ZONE = "UTC"
_OTHER_NAMES_OF_UTC = frozenset({"Z", "GMT", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/GMT", "Etc/UCT"})
_LOG_LEVEL = "spark.log.level"
_SUBMITTED_LOG_LEVEL = "WARN"
"""Under `spark-submit` Spark's own default is INFO, thousands of lines in which those of the jobs are lost."""
_DEFAULT_LOG4J = "org/apache/spark/log4j2-"
"""Start of the names of Spark's own Log4j configurations, used if there is none of the user's."""
_RUNTIME = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "static",
    # The same in Spark 3.5 and 4: an expression that can't be computed is null, which cleaning turns into a reason;
    # under ANSI one bad row would end the run instead.
    "spark.sql.ansi.enabled": "false",
    # INT96 is unreadable elsewhere for years such as 9999. Dates before 1582 are those of every other program.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    # Arrow's default, stated because kernels are sized for it: a scored batch has wide rows.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
}
_NO_VARIABLES = {
    # SQL is never rewritten before it is read: ${env:NAME} in it would be replaced by a secret of the environment.
    "spark.sql.variable.substitute": "false",
}
_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_PLANS = {
    "spark.sql.adaptive.enabled": "true",
    # Spark 4 records for each operation on a column the line of Python that made it: ten calls to the JVM instead of
    # one, for a hint in errors about expressions, which here name the mapping's column instead.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
_LOCAL = {
    **_PLANS,
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Delta's defaults are meant for tables of millions of files: 50 tasks for each snapshot.
    "spark.databricks.delta.snapshotPartitions": "2",
    # Folders of this machine are listed sooner than a job starts.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.files.maxPartitionBytes": "64m",
    # A pipeline plans hundreds of queries, many of them alike from job to job: with Spark's default of 100 cached
    # classes each is compiled again, and each plan is formatted in full for a UI that is off.
    "spark.sql.codegen.cache.maxEntries": "2000",
    "spark.sql.ui.explainMode": "simple",
    # Persisted frames are read once or twice: choosing the best encoding costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # Code generation of very wide selects falls back by itself; its warning is noise on a terminal.
    _LOG_LEVEL: "ERROR",
}
_CLUSTER = {
    **_PLANS,
    # Delta's default of 50 tasks is meant for tables of millions of files; these have thousands.
    "spark.databricks.delta.snapshotPartitions": "8",
}
_FIXED_EXECUTORS = {
    # Ranks of a training run and exact top-k both need executors that stay.
    "spark.speculation": "false",
}


def build_session(environment: Environment, app_name: str) -> SparkSession:
    """Return the running session, or build one with the defaults of the profile.

    Parameters
    ----------
    environment : Environment
        The sections `spark` and `warehouse`; a `Config` has them.
    app_name : str
        Name of the application in Spark's UI and logs, if one is started.

    Raises
    ------
    EnvironmentProblem
        If the JVM can't be started or Delta is not on its class path.
    """
    spark, small = SparkSession.getActiveSession(), False
    if spark is None:
        small = quick.is_small(environment)
        spark = _start(environment, app_name, small)
        if environment.spark.profile != "local":
            _note_zones(spark)
    _set_runtime(spark, environment, small)
    _require_delta(spark)
    if environment.spark.profile != "databricks":
        spark.sparkContext.setCheckpointDir(
            environment.spark.checkpoint_dir or f"{environment.warehouse.path}/_checkpoints"
        )
    return spark


def local_session(
    app_name: str = "recsys", *, cores: int | None = None, extra: dict[str, str] | None = None
) -> SparkSession:
    """Return a local session for scripts, notebooks and tests, with the defaults of the local profile.

    Parameters
    ----------
    cores : int, optional
        Threads; all by default.
    extra : dict of str to str, optional
        Further Spark settings.
    """
    scratch = tempfile.mkdtemp(prefix="recsys-")
    environment = Environment.model_validate(
        {
            "warehouse": {"path": scratch},
            "spark": {"profile": "local", "master": f"local[{cores or '*'}]", "conf": extra or {}},
        }
    )
    return build_session(environment, app_name)


def delta_packages() -> str:
    """Maven coordinates of the Delta that fits the installed pyspark: `group:artifact_scala:version`."""
    scala = "2.13" if int(pyspark.__version__.split(".")[0]) >= 4 else "2.12"
    return f"io.delta:delta-spark_{scala}:{importlib.metadata.version('delta-spark')}"


def _start(environment: Environment, app_name: str, small: bool) -> SparkSession:
    settings = environment.spark
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    builder: Any = SparkSession.builder.appName(app_name)
    fixed = {**_DELTA, **_RUNTIME, **_NO_VARIABLES, **_FIXED_EXECUTORS}
    for key, value in {**fixed, **_defaults(settings.profile, submitted, small)}.items():
        builder = builder.config(key, value)
    if settings.profile == "local":
        builder = builder.config("spark.sql.warehouse.dir", f"{environment.warehouse.path}/_catalog")
        if not submitted:
            builder = builder.config("spark.driver.memory", settings.driver_memory)
            if small:
                builder = builder.config("spark.driver.extraJavaOptions", quick.JVM)
    if settings.master:
        builder = builder.master(settings.master)
    elif settings.profile == "local" and not submitted:
        builder = builder.master("local[*]")
    for key, value in {**_jars(environment), **settings.conf}.items():
        builder = builder.config(key, value)
    # Executors run the interpreter of the driver unless the cluster says otherwise.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        return builder.getOrCreate()  # type: ignore[no-any-return]
    except Exception as error:
        raise EnvironmentProblem(
            f"Spark could not be started ({str(error).splitlines()[0]}); run `make doctor`, and check JAVA_HOME"
        ) from error


def _defaults(profile: str, submitted: bool, small: bool) -> dict[str, str]:
    """Settings of a profile, without those that spark-submit was given itself."""
    defaults = {**_LOCAL, **(quick.SQL if small else {})} if profile == "local" else _CLUSTER
    if not submitted:
        return defaults
    # Until it is connected to spark-submit's JVM, a SparkConf does not have what was passed to spark-submit.
    SparkContext._ensure_initialized()
    given = SparkConf()
    defaults = {_LOG_LEVEL: _SUBMITTED_LOG_LEVEL, **defaults}
    left = {_LOG_LEVEL} if _has_own_log4j() else set()
    return {key: value for key, value in defaults.items() if key not in left and not given.contains(key)}


def _has_own_log4j() -> bool:
    """Ask the JVM whether Log4j found a configuration of the user's: in SPARK_CONF_DIR, a file or a system property."""
    try:
        manager = getattr(SparkContext._jvm, "org.apache.logging.log4j.LogManager")  # noqa: B009
        found = str(manager.getContext(False).getConfiguration().getConfigurationSource().getLocation())
    except (TypeError, Py4JError):  # another logging library
        return True
    return _DEFAULT_LOG4J not in found


def _jars(environment: Environment) -> dict[str, str]:
    """Where Delta's jars come from: a folder, the jars of pyspark, or else the package resolver."""
    if environment.spark.jars_dir:
        folder = Path(environment.spark.jars_dir)
        jars = sorted(str(jar) for jar in folder.glob("*.jar"))
        if not jars:
            raise EnvironmentProblem(f"spark.jars_dir {folder} has no jars; fill it with `make jars JARS={folder}`")
        return {"spark.jars": ",".join(jars)}
    home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    if any(home.glob("jars/*delta-spark*.jar")):
        return {}
    return {"spark.jars.packages": delta_packages()}


def _set_runtime(spark: SparkSession, environment: Environment, small: bool) -> None:
    for key, value in _RUNTIME.items():
        spark.conf.set(key, value)
    # A platform may keep its settings to itself; mappings, where variables could come from, are checked all the same.
    with suppress(AnalysisException):
        for key, value in _NO_VARIABLES.items():
            spark.conf.set(key, value)
    partitions = environment.spark.shuffle_partitions
    if partitions is None and environment.spark.profile == "local":
        partitions = quick.SHUFFLE_PARTITIONS if small else max(2, spark.sparkContext.defaultParallelism * 2)
    if partitions is not None:
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))


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
    """Tell whether the session is one of Databricks, which comes with Delta."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or bool(
        spark.conf.get("spark.databricks.clusterUsageTags.clusterId", "")
    )


def driver_zone(spark: SparkSession) -> str:
    """Return the time zone of the driver's JVM; `UTC` for every name of it."""
    return _plain_zone(str(getattr(spark._jvm, "java.time.ZoneId").systemDefault().toString()))


def executor_zones(spark: SparkSession) -> set[str]:
    """Return the time zones of the JVMs that run tasks: one query, with a task for each slot."""
    slots = spark.sparkContext.defaultParallelism
    zone = "java_method('java.time.ZoneId', 'systemDefault') AS zone"
    return {_plain_zone(row["zone"]) for row in spark.range(0, slots, 1, slots).selectExpr(zone).collect()}


def different_zones(driver: str, executors: set[str]) -> str | None:
    """Say that driver and executors are in different time zones, and what that means, if they are."""
    if executors <= {driver}:
        return None
    return (
        f"the driver's JVM is in the time zone {driver}, those of executors in {', '.join(sorted(executors))}: tables "
        "of recsys do not depend on it, but a source of yours with timestamp partitions may; set TZ=UTC for all of them"
    )


def _note_zones(spark: SparkSession) -> None:
    different = different_zones(driver_zone(spark), executor_zones(spark))
    if different:
        note(different)


def _plain_zone(zone: str) -> str:
    return UTC_ZONE if zone in _OTHER_NAMES_OF_UTC else zone


def share(spark: SparkSession, value: T) -> Shared[T]:
    """Bring an object to all executors, for functions that `mapInArrow` runs.

    It is broadcast where there is a SparkContext: executors pass it on among themselves, and let go of it when nobody
    refers to it any more. Sessions of Spark Connect have none, and get it as a file that ends with the session.

    Parameters
    ----------
    value : object
        Anything that pickles; compare its size with `spark.broadcast_limit_mb` first.

    Returns
    -------
    Shared
        Workers read the object from its `value`, once per process.
    """
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        return shared_file(value, lambda path: spark.addArtifacts(path, file=True))
    return spark.sparkContext.broadcast(value)


def executor_slots() -> int:
    """Return how many tasks the running session executes at once (`spark.default.parallelism`).

    Raises
    ------
    EnvironmentProblem
        If there is no running session in this process; so do the next two.
    """
    return int(_running().defaultParallelism)


def worker_python() -> str:
    """Return the Python interpreter that executors start for the running session."""
    return str(_running().pythonExec)


def dynamic_allocation() -> bool:
    """Return whether executors of the running session may come and go."""
    return _running().getConf().get("spark.dynamicAllocation.enabled", "false") == "true"


def _running() -> SparkContext:
    context = SparkContext._active_spark_context
    if context is None:
        raise EnvironmentProblem("this needs a running Spark session in this process; start one first")
    return context
