"""Keep the tables small and quick: fewer and larger files, none that no version needs, no slices of long ago.

For each table of the warehouse: removes slices that are older than `maintain.keep_days` asks for (by default none),
puts files below `maintain.file_mb` together (OPTIMIZE), and deletes those that no version of the last
`maintain.retention_days` days needs (VACUUM). No other row changes, and nothing that is done has to be made again.
--dry-run says for each table what would happen. Not a part of the pipeline: run it once a day or once a week, beside
the jobs if need be; with a retention below 7 days no other job may be running.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from recsys import data
from recsys.config import Config, config_json
from recsys.environment import WEEK
from recsys.errors import ConfigError, DataError
from recsys.failures import translating
from recsys.pipeline.flags import Flags
from recsys.pipeline.graph import config_ladder
from recsys.pipeline.keys import keys_hash
from recsys.pipeline.program import program
from recsys.progress import recording, step
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.store.catalog import all_tables
from recsys.store.counted import count_reads, newest_done
from recsys.store.done import UPKEEP
from recsys.store.expiry import Expired, expired, remove_expired
from recsys.store.holds import WHOLE
from recsys.store.runs import JobState, Result, RunLog
from recsys.store.upkeep import HEADER, Upkeep, compact, files_of, obsolete, vacuum

MORE = ((("--table",), {"action": "append", "metavar": "NAME", "help": "care for this table alone; repeatable"}),)


def run(flags: Flags, config: Config) -> None:
    """Print a line for each table."""
    names, known = flags.extra.table, [table.name for table in all_tables()]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ConfigError(f"--table {unknown[0]}: no such table; there are {', '.join(known)}")
    warehouse = Warehouse(build_session(config, "recsys maintain"), config.warehouse)
    print(HEADER)
    for done in maintain(warehouse, config, as_of=flags.as_of, names=names, dry_run=flags.dry_run):
        print(done.line(), flush=True)


def maintain(
    warehouse: Warehouse,
    config: Config,
    *,
    as_of: datetime,
    names: Collection[str] | None = None,
    dry_run: bool = False,
) -> Iterator[Upkeep]:
    """Care for tables that exist, one after the other.

    Parameters
    ----------
    names : collection of str, optional
        The tables; None: all of them. Slices go by age from all tables that the config names.
    as_of : datetime
        Slices at or after it count for nothing in `maintain.keep_days`.
    dry_run : bool
        Find out what there is to do, and change nothing.

    Raises
    ------
    DataError
        If there is no table.
    SliceHeldError
        If the same is running elsewhere; with a short retention, if any job is running.
    """
    existing = [t for t in all_tables() if (names is None or t.name in names) and warehouse.exists(t)]
    if not existing:
        raise DataError(f"there is no table in {warehouse.root}; check warehouse.path of the config")
    old = expired(
        warehouse,
        config.maintain.keep_days,
        as_of=as_of,
        oldest_needed=partial(oldest_needed, config),
    )
    slices = {one.table.name: one.slices for one in old}
    if dry_run:
        yield from (_planned(warehouse, table, config, slices.get(table.name, 0)) for table in existing)
        return
    with _holding(warehouse, config, as_of) as run_id:
        for one in old:
            _remove(warehouse, one, run_id)
        for table in existing:
            with step(f"maintain {table.name}"):
                done = _cared_for(warehouse, table, config, slices)
            yield done


def oldest_needed(config: Config, newest: datetime) -> datetime:
    """Return the oldest instant that a run for the newest one looks back to: the first rung of its ladder."""
    return min(config_ladder(config, newest), default=newest)


@contextmanager
def _holding(warehouse: Warehouse, config: Config, as_of: datetime) -> Iterator[str]:
    """Keep a second maintenance away, and any job where files may be deleted that a reader just looked up."""
    job = JobState(UPKEEP, keys_hash(config, ("maintain",)), config=config_json(config))
    held = WHOLE if config.maintain.retention_days < WEEK else UPKEEP
    lease, log = config.runner.lease_minutes, RunLog(warehouse)
    with (
        recording(UPKEEP) as recorder,
        translating(),
        log.holding(job, as_of, slices=[held], recorder=recorder, result=Result(), lease_minutes=lease) as hold,
    ):
        yield hold.run_id


def _planned(warehouse: Warehouse, table: data.Table, config: Config, slices: int) -> Upkeep:
    settings = config.maintain
    files = files_of(warehouse, table, file_mb=settings.file_mb)
    gone = obsolete(warehouse, table, retention_days=settings.retention_days)
    return Upkeep(table.name, files, slices, files.loose, None, gone)


def _remove(warehouse: Warehouse, one: Expired, run_id: str) -> None:
    with step(f"remove slices of {one.table.name} before {one.before:%Y-%m-%d}"):
        remove_expired(warehouse, one, run_id=run_id)


def _cared_for(warehouse: Warehouse, table: data.Table, config: Config, slices: Mapping[str, int]) -> Upkeep:
    settings = config.maintain
    files = files_of(warehouse, table, file_mb=settings.file_mb)
    combined, into = (0, 0) if files.loose == 0 else compact(warehouse, table, file_mb=settings.file_mb)
    gone = obsolete(warehouse, table, retention_days=settings.retention_days)
    if gone:
        if table is data.EVENTS:
            _keep_counts(warehouse, config)
        vacuum(warehouse, table, retention_days=settings.retention_days)
    return Upkeep(table.name, files, slices.get(table.name, 0), combined, into, gone)


def _keep_counts(warehouse: Warehouse, config: Config) -> None:
    """Of the instants that may become past ones of a ladder, keep what can't be counted after the VACUUM."""
    newest = newest_done(warehouse)
    if newest is not None:
        count_reads(warehouse, since=oldest_needed(config, newest))


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program(UPKEEP, __doc__, argv, run, more=MORE)


if __name__ == "__main__":
    main()
