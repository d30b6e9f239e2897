"""The pipeline as its users start it: with `spark-submit`, on executors of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, load_config
from recsys.store import Warehouse
from tests.conftest import COVERAGE, QUICK_SPARK, QUICK_SQL
from tests.support.shops import ROOT, SMALL, Shop
from tests.support.warehouses import Digests, digests, written_outside

Served = tuple[Config, Warehouse]
SUBMIT = Path(sys.executable).with_name("spark-submit")
PLANTED = 60
STATISTICS = [
    part for what in ("collect", "skipping") for part in ("--conf", f"spark.databricks.delta.stats.{what}=true")
]
AFTER_TRAINING = ("models", "feature_stats", "ranked", "recommendations", "metrics", "source_overlap")
"""Tables that differ where two ranks train instead of one, or where more is known of what came later."""


def submit(
    *arguments: str,
    spark_options: tuple[str, ...] = (),
    program: Path = ROOT / "jobs" / "pipeline.py",
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run `spark-submit PROGRAM` with the interpreter of the tests first on the path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **variables}
    environment["PYSPARK_PYTHON"] = sys.executable
    quick = {
        "spark.executor.extraJavaOptions": QUICK_SPARK,
        f"spark.executorEnv.{COVERAGE}": "",
        "spark.ui.enabled": "false",
        "spark.sql.ui.explainMode": "simple",
        **QUICK_SQL,
    }
    command = [
        str(SUBMIT),
        "--driver-java-options",
        QUICK_SPARK,
        *(part for key, value in quick.items() for part in ("--conf", f"{key}={value}")),
        *spark_options,
        str(program),
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)


def _sets(*pairs: str) -> list[str]:
    return [part for pair in pairs for part in ("--set", pair)]


@pytest.fixture(scope="module")
def submitted(
    shop: Shop, served: Served, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Warehouse, subprocess.CompletedProcess[str]]:
    """The whole pipeline on two executors of its own in another time zone, over the shop's logs and later events.

    Clocks change there after `as_of`. Statistics of files, text with a time zone, are left out by most tests.
    """
    spark, folder = served[1].spark, tmp_path_factory.mktemp("on_executors")
    shutil.copytree(shop.raw, folder / "raw")
    plant_future(folder / "raw", shop, known=served[1].read(data.EVENTS, before=shop.as_of))
    done = submit(
        f"--config={ROOT / 'conf/cluster.yaml'}",
        f"--dataset={ROOT / 'conf/datasets/synthetic-shop.yaml'}",
        f"--as-of={shop.as_of:%Y-%m-%dT%H:%M:%SZ}",
        *_sets(f"input.root={folder / 'raw'}", f"warehouse={folder / 'warehouse'}", *SMALL),
        spark_options=("--master", "local-cluster[2,1,3072]", "--conf", "spark.executor.memory=2g", *STATISTICS),
        TZ="Europe/Berlin",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return Warehouse(spark, load_config(overrides=[f"warehouse={folder / 'warehouse'}"]).warehouse), done


@pytest.fixture
def on_executors(submitted: tuple[Warehouse, subprocess.CompletedProcess[str]]) -> Warehouse:
    """The warehouse after that run."""
    return submitted[0]


def plant_future(raw: Path, shop: Shop, *, known: DataFrame) -> None:
    """Write events at and after `as_of`, by old and new users on old and new items."""
    old = known.select("user_id", "item_id").orderBy("event_id").limit(PLANTED).collect()
    lines = []
    for number in range(PLANTED):
        time = shop.as_of + timedelta(hours=number)
        lines.append(
            {
                "event_id": f"ev-future-{number}",
                "event": ("page_view", "order")[number % 2],
                "ts": f"{time:%Y-%m-%dT%H:%M:%S}.000+00:00",
                "uid": f"u-future-{number}" if number % 3 else old[number]["user_id"],
                "sid": f"s-future-{number}",
                "step": 1,
                "sku": f"SKU-FUTURE{number}" if number % 4 else old[number]["item_id"],
                "price": 9.5,
                "currency": "EUR",
                **({"qty": 1} if number % 2 else {}),
            }
        )
    folder = raw / "events" / f"dt={shop.manifest['end'][:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part-future.json").write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")


@pytest.mark.cluster
def test_the_pipeline_runs_on_two_executors_with_two_ranks(on_executors: Warehouse) -> None:
    """Retrieval and scoring on executors, training as two Horovod ranks: every user has a dense list."""
    by_user = on_executors.read(data.RECOMMENDATIONS).groupBy("user_id").agg(F.count("*").alias("n"), F.max("rank"))
    assert by_user.count() > 0
    assert by_user.where("n <> `max(rank)`").count() == 0
    trained = on_executors.read(data.MODELS).where("kind = 'ctr'").first()
    assert trained is not None
    assert trained["metrics"]["click_ranks"] == 2


@pytest.mark.cluster
def test_neither_executors_nor_the_time_zone_nor_the_future_change_a_table(
    on_executors: Warehouse, served: Served, digest_of_served: Digests
) -> None:
    """Two executors in Berlin give what threads in UTC gave without those events, up to where two ranks train."""
    assert on_executors.read(data.EVENTS).count() == served[1].read(data.EVENTS).count() + PLANTED
    of_the_delivery = ("events", "quarantine", "ingested")
    found = digests(on_executors, without=(*of_the_delivery, *AFTER_TRAINING))
    assert {name for name in found if found[name] != digest_of_served[name]} == set()
    assert set(digest_of_served) - set(found) == {*of_the_delivery, *AFTER_TRAINING}


@pytest.mark.cluster
def test_times_of_writing_are_those_of_the_run(on_executors: Warehouse) -> None:
    """A time of Berlin that is taken for one of UTC would lie an hour or two off."""
    now = datetime.now(UTC)
    assert written_outside(on_executors, now - timedelta(minutes=50), now) == set()


@pytest.mark.cluster
def test_the_log_is_that_of_the_jobs_and_ends_with_the_summary(
    submitted: tuple[Warehouse, subprocess.CompletedProcess[str]], shop: Shop
) -> None:
    """Spark's default under spark-submit is INFO; what is logged before the session starts can't be changed."""
    warehouse, done = submitted
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    assert len([line for line in lines if " INFO " in line]) < 60
    assert len([line for line in lines if " recsys done " in line]) > 20
    last = done.stdout.strip().splitlines()[-1]
    assert last == warehouse.path("reports", f"{shop.as_of:%Y%m%dT%H%M%SZ}", "report.html")
    assert Path(last).is_file()


@pytest.mark.cluster
def test_an_error_ends_spark_submit_with_its_code_and_one_sentence(tmp_path: Path) -> None:
    done = submit(
        f"--config={ROOT / 'conf/local.yaml'}",
        f"--dataset={ROOT / 'conf/datasets/synthetic-shop.yaml'}",
        "--as-of=2024-01-01",
        *_sets(f"input.root={tmp_path / 'nowhere'}", f"warehouse={tmp_path / 'w'}"),
    )
    assert done.returncode == 3
    # spark-submit writes what Python writes, stdout and stderr alike, to its own stdout.
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("recsys: ")
    assert "nowhere" in last


@pytest.mark.cluster
def test_what_spark_submit_was_given_stands(tmp_path: Path) -> None:
    """A profile's defaults give way to --conf; where nothing was named they hold."""
    program = tmp_path / "settings.py"
    program.write_text(
        "import json\n"
        "from recsys.spark import local_session\n"
        "spark = local_session('settings')\n"
        "conf = spark.conf\n"
        f"keys = {[*QUICK_SQL, 'spark.sql.inMemoryColumnarStorage.compressed', 'spark.sql.ansi.enabled']}\n"
        "print('settings', json.dumps({key: conf.get(key) for key in keys}))\n"
        "print('level', spark._jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString())\n",
        encoding="utf-8",
    )
    done = submit(spark_options=("--master", "local[1]", "--conf", "spark.sql.ansi.enabled=true"), program=program)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("settings "))
    default = {"spark.sql.inMemoryColumnarStorage.compressed": "false"}
    forced = {"spark.sql.ansi.enabled": "false"}
    assert json.loads(line.removeprefix("settings ")) == {**QUICK_SQL, **default, **forced}
    assert "\nlevel ERROR\n" in done.stdout


OWN_LOG4J = """rootLogger.level = info
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = mine %p %m%n
"""


@pytest.mark.cluster
def test_a_log4j_configuration_of_the_users_own_decides_the_log_level(tmp_path: Path) -> None:
    (tmp_path / "log4j2.properties").write_text(OWN_LOG4J, encoding="utf-8")
    program = tmp_path / "level.py"
    program.write_text("from recsys.spark import local_session\nlocal_session('level')\n", encoding="utf-8")
    done = submit(spark_options=("--master", "local[1]"), program=program, SPARK_CONF_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "\nmine INFO " in done.stderr.partition("Running Spark version")[2]
