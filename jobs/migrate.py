"""Bring the warehouse of an earlier version of recsys up to this one.

Rewrites the tables of 0.1 and 0.2 that are stored in another way now, each in one commit, and marks all of them with
today's contract. What is up to date is left alone, so the program may be run again. --dry-run lists what would change.
No other job may be running; the JVM has to be in UTC (TZ=UTC).
"""

from __future__ import annotations

from recsys.config import Config
from recsys.pipeline.flags import Flags
from recsys.pipeline.program import program
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.store.migration import migrate


def run(flags: Flags, config: Config) -> None:
    """Print a line for each table."""
    warehouse = Warehouse(build_session(config, "recsys migrate"), config.warehouse)
    for line in migrate(warehouse, config.retrievers, dry_run=flags.dry_run):
        print(line)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program("migrate", __doc__, argv, run)


if __name__ == "__main__":
    main()
