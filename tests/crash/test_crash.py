"""Jobs killed by `kill -9` half-way and run again leave the tables of one clean run.

A job runs as a program. Its log shows when a step starts and ends; at a chosen step its whole process group is killed.
Then it runs again, is killed later, and so on, until it may finish. The long form kills every job at three points
(`make test-crash`); the short one, in `make test`, two jobs at one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.config import Config
from recsys.pipeline.graph import ordered, plan, rungs
from recsys.pipeline.job import load_jobs
from recsys.store import Warehouse
from recsys.store.catalog import all_tables
from tests.support.programs import command_of
from tests.support.shops import ROOT, Shop, run_shop, shop_config
from tests.support.warehouses import Digests, digests

Served = tuple[Config, Warehouse]


def _run_killed_at(command: Sequence[str], event: str, step: str) -> bool:
    """Run a job and kill its process group when its log says that a step starts or is done; tell whether it did."""
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for text in process.stderr:
        if f" recsys {event} " in text and f'step="{step}"' in text:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    process.wait()
    return False


def _finish(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def _steps(served: Served, job: str) -> list[str]:
    """The timed steps of a clean run of the job, in order."""
    row = served[1].read(data.RUNS).where(f"job = '{job}' AND status = 'done'").orderBy("started_at").first()
    assert row is not None
    return [step["name"] for step in row["steps"]]


def _different(expected: Digests, warehouse: Warehouse) -> set[str]:
    found = digests(warehouse, without=tuple(table.name for table in all_tables() if table.name not in expected))
    return {name for name in expected if expected[name] != found.get(name)}


@pytest.mark.e2e
@pytest.mark.parametrize("job", ["clean", "index"])
def test_a_job_killed_between_its_writes_recovers(
    spark: SparkSession, served: Served, digest_of_served: Digests, shop: Shop, tmp_path: Path, job: str
) -> None:
    """Killed as a program of its own, run again in the session of the tests."""
    config = shop_config(shop.raw, tmp_path / "warehouse")
    jobs = load_jobs(ROOT / "jobs")
    writes = [table.name for table in jobs[job].writes]
    if job != ordered(jobs)[0]:
        shutil.copytree(served[1].root, config.warehouse.path, ignore=shutil.ignore_patterns("runs", *writes))
    # An index numbers what it meets first: it is killed at the instant that it ran for first.
    first = min(rungs(spark, served[0], shop.as_of))
    command = command_of(job, shop, tmp_path / "warehouse", as_of=first if job == "index" else None)
    assert _run_killed_at(command, "start", _steps(served, job)[-1]), "the job ended before it was killed"
    run_shop(spark, config, shop.as_of, first=job, last=job, force=True)
    warehouse = Warehouse(spark, config.warehouse)
    expected = {name: digest for name, digest in digest_of_served.items() if name in writes}
    assert _different(expected, warehouse) == set()
    statuses = {row["status"] for row in warehouse.read(data.RUNS).where(f"job = '{job}'").collect()}
    assert statuses == {"lost", "done"}


@pytest.mark.crash
@pytest.mark.timeout(5400)
def test_every_job_killed_at_three_points_leaves_the_tables_of_a_clean_run(
    spark: SparkSession, served: Served, digest_of_served: Digests, shop: Shop, tmp_path: Path
) -> None:
    warehouse, jobs = tmp_path / "warehouse", load_jobs(ROOT / "jobs")
    first, *others = ordered(jobs)
    stages = [
        (stage.job.name, stage.as_of) for stage in plan(jobs, shop.as_of, rungs=rungs(spark, served[0], shop.as_of))
    ]
    assert {name for name, _ in stages} == set(others)
    for job, as_of in [(first, shop.as_of), *stages]:
        command = command_of(job, shop, warehouse, as_of=as_of)
        if as_of < shop.as_of:
            _finish(command)
            continue
        steps = _steps(served, job)
        # A run that continues after a kill may skip what is done, but never its last step.
        for event, step in (("start", steps[0]), ("start", steps[len(steps) // 2]), ("done", steps[-1])):
            assert _run_killed_at(command, event, step), f"{job} ended before it said: {event} {step}"
        _finish(command)
    made = Warehouse(spark, shop_config(shop.raw, warehouse).warehouse)
    assert _different(digest_of_served, made) == set()
