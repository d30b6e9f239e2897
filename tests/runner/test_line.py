"""The order of the line and what of it runs again. Jobs are stand-ins that only leave a trace."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys import tables
from recsys.config import load_config
from recsys.errors import ConfigError
from recsys.runner import Job, line, shipped

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 3, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def _jobs() -> dict[str, Job]:
    return {name: Job(name, lambda spark, cfg, as_of: None) for name in line.ORDER}


def test_with_shown_lists_each_job_runs_once() -> None:
    stages = line.plan(_jobs(), load_config(), AS_OF, from_lists=True)
    assert [stage.job.name for stage in stages] == list(line.ORDER[1:])
    assert {stage.as_of for stage in stages} == {AS_OF}


def test_without_lists_the_retrievers_are_first_fitted_one_label_window_earlier() -> None:
    stages = line.plan(_jobs(), load_config(overrides=["examples.label_window_days=7"]), AS_OF, from_lists=False)
    earlier = [stage.job.name for stage in stages if stage.as_of == datetime(2024, 3, 1, tzinfo=UTC)]
    assert earlier == list(line.RETRIEVE)
    assert [stage.label for stage in stages[:1]] == ["index@20240301T000000Z"]
    assert [stage.job.name for stage in stages[len(earlier) :]] == list(line.ORDER[1:])


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("clear", None, "--from clear: no such job; the line is clean, index"),
        (None, "ranked", "--to ranked: no such job"),
        ("rank", "clean", "clean comes before rank"),
    ],
)
def test_a_wrong_part_is_refused(first: str | None, last: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        line.check_part(first, last)


def test_every_job_of_the_line_loads_and_declares_known_tables() -> None:
    jobs = line.load_jobs(ROOT / "jobs")
    assert list(jobs) == list(line.ORDER)
    for name, job in jobs.items():
        assert job.name == name
        assert job.writes, f"{name} writes nothing"
        assert all(table in tables.ALL for table in (*job.reads, *job.writes))
        assert job.doc, f"{name} has no docstring for --help"


def test_a_folder_that_lacks_a_job_is_named(tmp_path: Path) -> None:
    (tmp_path / "rank.py").touch()
    with pytest.raises(ConfigError, match="clean.py: the line's job clean is not there"):
        line.load_jobs(tmp_path)


def test_beside_a_program_that_was_shipped_alone_the_installed_jobs_are_taken(tmp_path: Path) -> None:
    assert list(line.load_jobs(tmp_path)) == list(line.ORDER)


def test_an_installed_wheel_has_the_folders_as_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "recsys_conf"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shipped, "ROOT", tmp_path / "no clone")
    assert shipped.shipped("conf") == package
    with pytest.raises(ConfigError, match="the folder notebooks of the project is not there"):
        shipped.shipped("notebooks")


def test_the_summary_has_a_line_per_stage() -> None:
    text = line.summary([("clean@x", "done", 1.25), ("rank@x", "skipped", 0.0)])
    assert text.splitlines() == ["clean@x       1.2 s  done", "rank@x        0.0 s  skipped"]
