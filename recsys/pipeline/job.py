"""A job: one decorated function that says what it reads, what it writes and which config keys decide its result."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pyspark.sql import SparkSession

from recsys import progress
from recsys.config import Config, config_json
from recsys.data import Table, TablePart
from recsys.errors import ConfigError, DataError, MissingData
from recsys.failures import translating
from recsys.pipeline.context import Context
from recsys.pipeline.flags import Flags
from recsys.pipeline.keys import Key, keys_hash, permitted
from recsys.pipeline.program import program
from recsys.pipeline.shipped import shipped
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.store.runs import JobState, RunLog

Touched = Table | TablePart


@dataclass(frozen=True)
class Job:
    """A job of the pipeline; made by :func:`job`.

    Attributes
    ----------
    name : str
        As in `jobs/NAME.py`, in the config and in the `runs` table.
    function : callable
        `function(context)`: read, transform, write.
    doc : str, optional
        What `--help` prints.
    reads, writes : tuple of Table or TablePart
        The tables that it reads and writes: for the order of the pipeline, `--dry-run` and "up to date".
    config : tuple of str or Part
        Config keys, dotted, that decide its result: sections (`rank`) or single keys (`rank.k`).
    inputs : callable, optional
        `inputs(spark, config)` identifies what the job reads outside the warehouse: the same text, the same input.
        Such a job ignores `as_of`; it is skipped once it has succeeded for the same inputs.
    every_instant : bool
        Whether what it writes is read at every instant, not only at its own.
    earlier : tuple of Table
        Tables of which it reads the slice of an earlier instant if there are no shown lists to learn from.
    """

    name: str
    function: Callable[[Context], None]
    doc: str | None = None
    reads: tuple[Touched, ...] = ()
    writes: tuple[Touched, ...] = ()
    config: tuple[Key, ...] = ()
    inputs: Callable[[SparkSession, Config], str] | None = None
    every_instant: bool = False
    earlier: tuple[Table, ...] = ()

    def __call__(self, context: Context) -> None:
        """Run once, with a config limited to the declared keys.

        Raises
        ------
        DataError
            If a table or a slice is missing, naming the job that makes it.
        """
        config = permitted(context.config, self.config, job=self.name)
        try:
            self.function(replace(context, config=config))
        except MissingData as error:
            raise DataError(f"{error}; run the job {maker_of(error.table)} {error.when}first") from error

    def state(self, spark: SparkSession, config: Config) -> JobState:
        """Return what its row of `runs` holds and what "up to date" depends on."""
        outside = self.inputs(spark, config) if self.inputs else ""
        hashed = keys_hash(config, self.config)
        return JobState(
            name=self.name,
            config_hash=f"{hashed}{outside and '-'}{outside}",
            reads=frozenset(table.name for table in self.reads),
            ignores_as_of=self.inputs is not None,
            config=config_json(config),
            dataset=config.dataset.name if config.dataset else None,
        )

    def main(self, argv: list[str] | None = None) -> None:
        """Run as a program: parse the flags, run, exit with the code of what happened."""
        program(self.name, self.doc, argv, self._once)

    def _once(self, flags: Flags, config: Config) -> None:
        if flags.dry_run:
            print(flags.plan(config, [self]))
            return
        execute(self, build_session(config, f"recsys {self.name}"), config, flags.as_of)


def job(
    name: str,
    *,
    reads: Sequence[Touched] = (),
    writes: Sequence[Touched] = (),
    config: Sequence[Key] = (),
    inputs: Callable[[SparkSession, Config], str] | None = None,
    every_instant: bool = False,
    earlier: Sequence[Table] = (),
) -> Callable[[Callable[[Context], None]], Job]:
    """Declare a job. The parameters are the attributes of :class:`Job`; its documentation is its module's docstring.

    Examples
    --------
    >>> @job("nothing", reads=(), writes=())
    ... def run(context: Context) -> None:
    ...     pass
    >>> run.name
    'nothing'
    """

    def declare(function: Callable[[Context], None]) -> Job:
        return Job(
            name,
            function,
            doc=function.__globals__.get("__doc__"),
            reads=tuple(reads),
            writes=tuple(writes),
            config=tuple(config),
            inputs=inputs,
            every_instant=every_instant,
            earlier=tuple(earlier),
        )

    return declare


def execute(job: Job, spark: SparkSession, config: Config, as_of: datetime) -> progress.Recorder:
    """Run a job while holding its slice, and write its row of the `runs` table.

    Raises
    ------
    SliceHeldError
        If another living run holds the slice.
    RecsysError
        Whatever stops the job; errors of Spark that a user can cause are translated.
    """
    log, state = RunLog(Warehouse(spark, config.warehouse)), job.state(spark, config)
    lease = config.runner.lease_minutes
    with (
        progress.recording(job.name) as recorder,
        log.holding(state, as_of, recorder, lease_minutes=lease),
        translating(),
    ):
        job(Context.of(spark, config, as_of))
    return recorder


def load_jobs(folder: Path) -> dict[str, Job]:
    """Load every job from the files of a folder, by name; job files never import each other.

    If a cluster copied only the main program, the folder has no jobs: those of the installed package are taken then.

    Raises
    ------
    ConfigError
        If a job's file has another name than the job.
    """
    found = _jobs_in(folder)
    return found or _jobs_in(shipped("jobs"))


def _jobs_in(folder: Path) -> dict[str, Job]:
    jobs = {}
    for file in sorted(folder.glob("[!_]*.py")):
        if "@job(" not in file.read_text(encoding="utf-8"):
            continue
        spec = importlib.util.spec_from_file_location(f"_recsys_job_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        if module.run.name != file.stem:
            raise ConfigError(f"{file} declares the job {module.run.name}; name the file after its job")
        jobs[file.stem] = module.run
    return jobs


def maker_of(table: str) -> str:
    """Return the name of the job that writes a table; the last in name order, if several do."""
    makers = [job.name for job in load_jobs(shipped("jobs")).values() if table in {made.name for made in job.writes}]
    return makers[-1] if makers else "that writes it"
