"""One job: its name, its `run`, the tables that it reads and writes, and how it behaves as a program."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import SparkSession

from recsys import progress
from recsys.config import Config, config_hash, load_config
from recsys.errors import RecsysError
from recsys.io.errors import translating
from recsys.runner.flags import Flag, Flags, parse
from recsys.runner.runs import RunLog
from recsys.spark import build_session
from recsys.tables import Table

Run = Callable[[SparkSession, Config, datetime], None]


@dataclass(frozen=True)
class Job:
    """A job of the line.

    Attributes
    ----------
    name : str
        As in `jobs/NAME.py` and in the `runs` table.
    run : callable
        `run(spark, cfg, as_of)`: read, transform, write.
    doc : str, optional
        What `--help` prints.
    reads, writes : tuple of Table
        What it may touch, for `--dry-run` and for the pipeline's order.
    inputs : callable, optional
        `inputs(spark, cfg)` names what the job reads outside the warehouse: the same name, the same input. Such a job
        knows no instant: once done for an input, it is done.
    """

    name: str
    run: Run
    doc: str | None = None
    reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    inputs: Callable[[SparkSession, Config], str] | None = None

    def state(self, spark: SparkSession, config: Config) -> str:
        """Hash of what decides the job's result beside the tables: the config, and its inputs outside the warehouse."""
        outside = self.inputs(spark, config) if self.inputs else ""
        return f"{config_hash(config)}{outside and '-'}{outside}"

    def main(self, argv: list[str] | None = None) -> None:
        """Run as a program: parse the flags, run, exit with the code of what happened."""
        program(self.name, self.doc, argv, lambda flags, config: self._once(flags, config))

    def _once(self, flags: Flags, config: Config) -> None:
        if flags.dry_run:
            print(flags.plan(config, [self]))
            return
        spark = build_session(config, f"recsys {self.name}")
        execute(self, spark, config, flags.as_of)


def execute(job: Job, spark: SparkSession, config: Config, as_of: datetime) -> progress.Recorder:
    """Run a job while holding its slice, and write its row of the `runs` table.

    Raises
    ------
    SliceHeldError
        If another living run holds the slice.
    RecsysError
        Whatever stops the job; errors of Spark that a user can cause are translated.
    """
    log = RunLog(spark, config)
    with progress.recording(job.name) as recorder, log.holding(job, as_of, recorder), translating():
        job.run(spark, config, as_of)
    return recorder


def program(
    name: str,
    doc: str | None,
    argv: list[str] | None,
    body: Callable[[Flags, Config], None],
    *,
    more: Sequence[Flag] = (),
) -> None:
    """Run a body as a program: flags in, exit code out, one sentence on stderr for what a user can mend."""
    flags = parse(name, doc, argv, more=more)
    try:
        config = load_config(flags.config, dataset=flags.dataset, overrides=flags.overrides)
        body(flags, config)
    except RecsysError as error:
        if flags.debug:
            traceback.print_exc()
        _last_words(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _last_words("stopped by hand; what was committed stays, run the job again to finish")
        sys.exit(130)
    except Exception as error:
        if flags.debug:
            traceback.print_exc()
        _last_words(f"{name} failed: {_first_line(error)} (run again with --debug for the whole trace)")
        sys.exit(1)


def _last_words(sentence: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"\nrecsys: {' '.join(sentence.split())}\n")
    sys.stderr.flush()


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
