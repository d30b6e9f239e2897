"""A second process that runs jobs and stops on the way: `python -m tests.support.rival`.

Each line on stdin is a run, as JSON: `job`, `as_of`, `dataset` and `overrides`. It says `made` once it knows what to
write, waits for a line, commits, and says `done` or the name of the error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from recsys.config import load_config, parse_as_of
from recsys.pipeline import Context, Job, execute
from recsys.pipeline.job import load_jobs
from recsys.spark import local_session
from recsys.store import Writes
from tests.conftest import QUICK_SPARK, QUICK_SQL
from tests.support.shops import ROOT


def main() -> None:
    """Run what stdin says."""
    extra = {"spark.driver.memory": "1g", "spark.driver.extraJavaOptions": QUICK_SPARK, **QUICK_SQL}
    spark, jobs = local_session("rival", cores=1, extra=extra), load_jobs(ROOT / "jobs")
    _say("ready")
    for line in sys.stdin:
        run = json.loads(line)
        config = load_config(dataset=run["dataset"], overrides=run["overrides"])
        try:
            execute(_stopping(jobs[run["job"]]), spark, config, parse_as_of(run["as_of"]))
        except Exception as error:
            _say(f"{type(error).__name__}: {error}")
        else:
            _say("done")


def _stopping(job: Job) -> Job:
    def function(context: Context) -> Writes:
        writes = job.function(context)
        for write in writes.tables:
            # What it would write is computed from what it has read so far.
            getattr(write, "frame", context.spark.range(0)).persist().count()
        _say("made")
        sys.stdin.readline()
        return writes

    return replace(job, function=function)


def _say(text: str) -> None:
    print("rival:", text.replace("\n", " "), flush=True)


class Rival:
    """The other process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def hear(self) -> str:
        """Wait for what it says next."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("rival: "):
                return line.removeprefix("rival: ").strip()
        raise AssertionError("the rival ended")

    def tell(self, **run: Any) -> None:
        """Let it start a run, or go on with the one that it stopped in."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(run) + "\n")
        self._process.stdin.flush()


@contextmanager
def rival(log: Path) -> Iterator[Rival]:
    """Start the other process; it ends with the block."""
    command = [sys.executable, "-m", "tests.support.rival"]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            other = Rival(process)
            assert other.hear() == "ready"
            yield other
        finally:
            process.kill()


if __name__ == "__main__":
    main()
