"""Flags and exit codes: what a program says before any session is built."""

from __future__ import annotations

import pytest

from recsys.config import Config
from recsys.data import EVENTS, ITEMS
from recsys.errors import ConfigError, DataError, EnvironmentProblem, SliceHeldError
from recsys.pipeline import Context
from recsys.pipeline.flags import Flags, parse, sets
from recsys.pipeline.job import Job
from recsys.pipeline.program import program

pytestmark = pytest.mark.fast


def _fail_with(error: Exception) -> int:
    def body(flags: Flags, config: Config) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        program("job", "Doc.", [], body)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("bad key"), 2),
        (DataError("bad rows"), 3),
        (SliceHeldError("held"), 4),
        (EnvironmentProblem("no java"), 1),
        (ValueError("first line\nsecond line"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert _fail_with(error) == code
    last = capsys.readouterr().err.strip().splitlines()
    assert len(last) == 1
    assert last[0].startswith("recsys: ")


def test_the_trace_comes_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    def body(flags: Flags, config: Config) -> None:
        raise DataError("bad rows")

    with pytest.raises(SystemExit):
        program("job", "Doc.", ["--debug"], body)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--nope"], "unrecognized arguments: --nope"),
        (["--as-of"], "expected one argument"),
        (["--as-of", "yesterday"], "--as-of yesterday: not a date"),
        (["--config"], "expected one argument"),
    ],
)
def test_a_wrong_flag_is_exit_2_and_one_sentence(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("job", None, argv)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_dry_run_prints_config_and_tables_and_builds_no_session(capsys: pytest.CaptureFixture[str]) -> None:
    def run(context: Context) -> None:
        raise AssertionError("ran")

    Job("demo", run, reads=(EVENTS,), writes=(ITEMS,)).main(
        ["--dry-run", "--as-of", "2024-03-01", "--set", "spark.conf={a.password: hunter2}"]
    )
    printed = capsys.readouterr().out
    assert "as_of: 2024-03-01T00:00:00Z (exclusive)" in printed
    assert "demo: reads events; writes items" in printed
    assert "hunter2" not in printed


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("job", "What it does.", ["--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    for flag in ("--config", "--dataset", "--as-of", "--set", "--dry-run", "--debug", "What it does."):
        assert flag in printed


def test_a_flag_sets_a_list_of_the_config() -> None:
    more = [sets("clean.reingest", "again", metavar="UNIT")]
    words = ["--set", "rank.k=3", "--reingest", "a b.csv", "c*.csv"]
    assert parse("clean", None, words, more=more).overrides == ["rank.k=3", 'clean.reingest=["a b.csv", "c*.csv"]']
