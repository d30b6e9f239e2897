"""A job: one decorated function that says what it reads, what it writes and which config keys decide its result."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pyspark.sql import SparkSession

from recsys.config import Config, config_json, stamp
from recsys.data import Table, TablePart
from recsys.data.log import as_instant
from recsys.errors import ConfigError, DataError, MissingData
from recsys.failures import translating
from recsys.pipeline.commit import Run
from recsys.pipeline.context import Context
from recsys.pipeline.flags import Flag, Flags
from recsys.pipeline.keys import Key, keys_hash, permitted
from recsys.pipeline.program import program
from recsys.pipeline.shipped import shipped
from recsys.progress import recording
from recsys.spark import build_session
from recsys.store import PinnedWarehouse, Warehouse, Writes
from recsys.store.holds import slices_of
from recsys.store.runs import JobState, Result, RunLog

Touched = Table | TablePart


@dataclass(frozen=True)
class Job:
    """A job of the pipeline; made by :func:`job`.

    Attributes
    ----------
    name : str
        As in `jobs/NAME.py`, in the config and in the `runs` table.
    function : callable
        `function(context)`: read, transform, and return what to write.
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
    earlier : tuple of Table or TablePart
        Tables of which it reads the slices of past instants: see `recsys.features.ladder`.
    flags : tuple of Flag
        Flags of its own: see `recsys.pipeline.flags.sets`.
    """

    name: str
    function: Callable[[Context], Writes]
    doc: str | None = None
    reads: tuple[Touched, ...] = ()
    writes: tuple[Touched, ...] = ()
    config: tuple[Key, ...] = ()
    inputs: Callable[[SparkSession, Config], str] | None = None
    every_instant: bool = False
    earlier: tuple[Touched, ...] = ()
    flags: tuple[Flag, ...] = ()

    def __call__(self, context: Context) -> Writes:
        """Find out what to write, with a config limited to the declared keys.

        Raises
        ------
        DataError
            If a table or a slice is missing, naming the job that makes it.
        """
        config = permitted(context.config, self.config, job=self.name)
        try:
            return self.function(replace(context, config=config))
        except MissingData as error:
            raise DataError(f"{error}; {_way_out(error, context)}") from error

    def state(self, spark: SparkSession, config: Config) -> JobState:
        """Return what its row of `runs` holds and what "up to date" depends on."""
        outside = self.inputs(spark, config) if self.inputs else ""
        hashed = keys_hash(config, self.config)
        return JobState(
            name=self.name,
            config_hash=f"{hashed}{outside and '-'}{outside}",
            ignores_as_of=self.inputs is not None,
            config=config_json(config),
            dataset=config.dataset.name if config.dataset else None,
        )

    def main(self, argv: list[str] | None = None) -> None:
        """Run as a program: parse the flags, run, exit with the code of what happened."""
        program(self.name, self.doc, argv, self._once, more=self.flags)

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
    earlier: Sequence[Touched] = (),
    flags: Sequence[Flag] = (),
) -> Callable[[Callable[[Context], Writes]], Job]:
    """Declare a job. The parameters are the attributes of :class:`Job`; its documentation is its module's docstring.

    Examples
    --------
    >>> @job("nothing", reads=(), writes=())
    ... def run(context: Context) -> Writes:
    ...     return Writes()
    >>> run.name
    'nothing'
    """

    def declare(function: Callable[[Context], Writes]) -> Job:
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
            flags=tuple(flags),
        )

    return declare


def execute(job: Job, spark: SparkSession, config: Config, as_of: datetime) -> Result:
    """Run a job while holding the slices that it writes, and write its row of the `runs` table.

    Returns
    -------
    Result
        What it read and wrote.

    Raises
    ------
    SliceHeldError
        If another living run holds one of the slices, or has taken it in the meantime.
    NothingToDo
        If it found nothing to do.
    RecsysError
        Whatever stops the job; errors of Spark that a user can cause are translated.
    """
    as_of = as_instant(as_of)
    warehouse, result = PinnedWarehouse(spark, config.warehouse), Result()
    result.reads = warehouse.reads
    source = config.dataset.name if config.dataset else None
    slices = slices_of(job.writes, as_of=as_of, source=source)
    with recording(job.name) as recorder, translating(), ExitStack() as until_committed:
        hold = until_committed.enter_context(
            RunLog(Warehouse(spark, config.warehouse)).holding(
                job.state(spark, config),
                as_of,
                slices=slices or [f"{job.name}/as_of={stamp(as_of)}"],
                recorder=recorder,
                result=result,
                lease_minutes=config.runner.lease_minutes,
            )
        )
        run = Run(job.name, job.writes, as_of=as_of, source=source, warehouse=warehouse, hold=hold, result=result)
        with ExitStack() as kept:
            resolved = config_json(config)
            run.commit(job(Context(spark, config, as_of, warehouse, recorder, resolved, kept, hold.run_id)))
    return result


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


def _way_out(error: MissingData, context: Context) -> str:
    """Say what to do about a missing table or slice: its maker may not have run, or have run and made nothing."""
    jobs = load_jobs(shipped("jobs"))
    maker = maker_of(error.table)
    job, when = jobs.get(maker), error.when.rstrip()
    of_instant = job is not None and job.inputs is None and not job.every_instant
    ended = RunLog(context.warehouse).newest_end(maker, context.as_of if of_instant else None)
    ran = f"the job {maker} ran {when}".rstrip()
    status, reason = ended or ("", None)
    if status == "skipped":
        return f"{ran} and found nothing to do ({reason})"
    if status != "done":
        return f"run the job {maker} {error.when}first"
    if job is not None and job.inputs is not None:
        return f"{ran} and made none: the dataset mapping has no source that fills it; add one"
    reads = ", ".join(dict.fromkeys(read.name for read in job.reads)) if job else ""
    return f"{ran} and made nothing of what it reads ({reads}); see whether these tables hold what you expect"
