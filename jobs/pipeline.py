"""Run the whole line for an instant, or a part of it: clean, index, features, train_als, neighbors, popular,
candidates, ctr_examples, train_ctr, rank, publish, evaluate.

Reads the raw input that --dataset maps; writes every table of the warehouse. What is already done for the same
instant, config and input is skipped unless --force.
"""

from __future__ import annotations

from pathlib import Path

from recsys.config import Config
from recsys.runner import line
from recsys.runner.flags import Flags
from recsys.runner.job import program
from recsys.spark import build_session

MORE = (
    (("--from",), {"dest": "first", "metavar": "JOB", "help": "first job of the part to run"}),
    (("--to",), {"dest": "last", "metavar": "JOB", "help": "last job of the part to run"}),
    (("--force",), {"action": "store_true", "help": "run again what is already done"}),
)


def run(flags: Flags, config: Config) -> None:
    """Plan, then run stage by stage in one session."""
    jobs = line.load_jobs(Path(__file__).parent)
    part = line.check_part(flags.extra.first, flags.extra.last)
    if flags.dry_run:
        names = line.ORDER[line.ORDER.index(part[0]) : line.ORDER.index(part[1]) + 1]
        print(flags.plan(config, [jobs[name] for name in names]))
        return
    spark = build_session(config, "recsys pipeline")
    outcomes = line.run_line(spark, config, flags.as_of, jobs, first=part[0], last=part[1], force=flags.extra.force)
    print(line.summary(outcomes))


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program("pipeline", __doc__, argv, run, more=MORE)


if __name__ == "__main__":
    main()
