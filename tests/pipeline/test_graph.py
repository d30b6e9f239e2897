"""The order of the jobs, and what runs for which instant. Jobs are stand-ins that only leave a trace."""

from __future__ import annotations

import runpy
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys import data
from recsys.config import load_config
from recsys.errors import ConfigError
from recsys.pipeline import Context, Job, graph, job, shipped
from recsys.pipeline.job import load_jobs, maker_of
from recsys.store import Warehouse
from tests.features import logs
from tests.support.jobs import job_file

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 3, 8, tzinfo=UTC)
MAKERS = ("click_factors", "index", "retrievers", "candidates")
"""The jobs that run at past instants too."""
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return load_jobs(ROOT / "jobs")


def nothing(context: Context) -> None:
    """Does nothing."""


def test_makers_come_before_readers_and_ties_go_by_name() -> None:
    declared = {
        "b": job("b", reads=(data.EVENTS,), writes=(data.ITEMS,))(nothing),
        "a": job("a", reads=(data.ITEMS,))(nothing),
        "z": job("z", writes=(data.EVENTS,))(nothing),
        "c": job("c", reads=(data.EVENTS,))(nothing),
    }
    assert graph.ordered(declared) == ["z", "b", "a", "c"]


def test_parts_of_one_table_do_not_tie_their_makers_together() -> None:
    declared = {
        "fit": job("fit", writes=(data.MODELS.of("retriever"),))(nothing),
        "rank": job("rank", reads=(data.MODELS.of("ranker"), data.CANDIDATES))(nothing),
        "propose": job("propose", reads=(data.MODELS.of("retriever"),), writes=(data.CANDIDATES,))(nothing),
        "train": job("train", reads=(data.CANDIDATES,), writes=(data.MODELS.of("ranker"),))(nothing),
    }
    assert graph.ordered(declared) == ["fit", "propose", "train", "rank"]


def test_a_circle_of_jobs_is_named() -> None:
    declared = {
        "a": job("a", reads=(data.ITEMS,), writes=(data.EVENTS,))(nothing),
        "b": job("b", reads=(data.EVENTS,), writes=(data.ITEMS,))(nothing),
    }
    with pytest.raises(ConfigError, match="the jobs a, b read each other's tables in a circle"):
        graph.ordered(declared)


def test_the_order_of_the_pipeline(jobs: dict[str, Job]) -> None:
    order = graph.ordered(jobs)
    assert order[0] == "clean"
    assert order[-5:] == ["ctr_examples", "train_ctr", "rank", "publish", "evaluate"]
    assert max(order.index("index"), order.index("fusion")) < order.index("candidates") < order.index("ctr_examples")


def test_without_past_instants_each_job_runs_once(jobs: dict[str, Job]) -> None:
    stages = graph.plan(jobs, AS_OF, rungs=())
    assert [stage.job.name for stage in stages] == graph.ordered(jobs)[1:]
    assert {stage.as_of for stage in stages} == {AS_OF}


def test_what_makes_candidates_also_runs_at_past_instants_the_oldest_first(jobs: dict[str, Job]) -> None:
    rungs = (AS_OF - timedelta(days=7), AS_OF - timedelta(days=14))
    stages = graph.plan(jobs, AS_OF, rungs=rungs)
    earlier = [(stage.job.name, stage.as_of) for stage in stages if stage.as_of < AS_OF]
    assert earlier == [(name, at) for at in rungs[::-1] for name in MAKERS]
    assert stages[0].label == "click_factors@20240223T000000Z"
    assert [stage.job.name for stage in stages[len(earlier) :]] == graph.ordered(jobs)[1:]


@pytest.mark.parametrize(
    ("first_event", "instants"),
    [("2024-01-01", 4), ("2024-02-10", 2), ("2024-02-28", 0), (None, 0)],
)
def test_the_ladder_ends_where_the_log_does(
    spark: SparkSession, tmp_path: Path, first_event: str | None, instants: int
) -> None:
    """The rungs are March 1, February 23, 16 and 9; each needs a week of log before it."""
    config = load_config(overrides=[f"warehouse.path={tmp_path}/w"])
    if first_event:
        at = datetime.fromisoformat(first_event).replace(tzinfo=UTC)
        event = logs.frame(spark, data.EVENTS, [logs.event(event_id="e", user_id="u", item_id="i", event_time=at)])
        Warehouse(spark, config.warehouse).replace(data.EVENTS, event, where={})
    assert len(graph.rungs(spark, config, AS_OF)) == instants


def test_a_ranker_of_shown_lists_needs_no_ladder() -> None:
    assert graph.config_ladder(load_config(overrides=["ctr_examples.origins=[lists]"]), AS_OF) == ()


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("clear", None, "--from clear: no such job; the pipeline is clean, "),
        (None, "ranked", "--to ranked: no such job"),
        ("rank", "clean", "clean comes before rank"),
    ],
)
def test_a_wrong_part_is_refused(jobs: dict[str, Job], first: str | None, last: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        graph.check_part(jobs, first, last)


def test_every_job_declares_what_it_writes_and_documents_itself(jobs: dict[str, Job]) -> None:
    for name, declared in jobs.items():
        assert declared.name == name
        assert declared.writes, f"{name} writes nothing"
        assert declared.doc, f"{name} has no docstring for --help"


def test_a_job_in_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(
        "from recsys.pipeline import job\n\n@job('ranking')\ndef run(context):\n    pass\n".replace("'", '"'),
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="declares the job ranking; name the file after its job"):
        load_jobs(tmp_path)


def test_beside_a_program_that_was_shipped_alone_the_installed_jobs_are_taken(
    tmp_path: Path, jobs: dict[str, Job]
) -> None:
    assert list(load_jobs(tmp_path)) == list(jobs)


def test_an_installed_wheel_has_the_folders_as_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "recsys_conf"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shipped, "ROOT", tmp_path / "no clone")
    assert shipped.shipped("conf") == package
    with pytest.raises(ConfigError, match="the project's folder notebooks is missing"):
        shipped.shipped("notebooks")


def test_a_job_is_added_by_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a place in the order, in --dry-run and where a missing table names its job; no list is edited."""
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "jobs" / "count_runs.py").write_text(job_file("count_runs", writes="RUNS"), encoding="utf-8")
    order = graph.ordered(load_jobs(tmp_path / "jobs"))
    assert order.index("clean") < order.index("count_runs")
    assert [name for name in order if name != "count_runs"] == graph.ordered(load_jobs(ROOT / "jobs"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", [str(tmp_path / "jobs/pipeline.py"), "--dry-run", "--from", "count_runs"])
        runpy.run_path(str(tmp_path / "jobs" / "pipeline.py"), run_name="__main__")
    assert "\ncount_runs: reads events; writes runs\n" in capsys.readouterr().out
    monkeypatch.setattr(shipped, "ROOT", tmp_path)
    assert maker_of("runs") == "count_runs"


def test_the_maker_of_a_table_follows_from_the_jobs() -> None:
    assert maker_of("recommendations") == "publish"
    assert maker_of("user_index") == "index"
