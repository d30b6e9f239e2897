"""Run the whole pipeline for an instant, or a part of it.

Reads the raw input that --dataset maps; writes every table of the warehouse. A job that is done for the same instant,
input and values of the config keys that it reads is skipped unless --force. Ends with a summary; its last line is the
path of the report.
"""

from __future__ import annotations

from pathlib import Path

from recsys.config import Config
from recsys.pipeline import graph
from recsys.pipeline.flags import Flags
from recsys.pipeline.job import load_jobs
from recsys.pipeline.program import program
from recsys.pipeline.summary import summarize
from recsys.spark import build_session

MORE = (
    (("--from",), {"dest": "first", "metavar": "JOB", "help": "first job of the part to run"}),
    (("--to",), {"dest": "last", "metavar": "JOB", "help": "last job of the part to run"}),
    (("--force",), {"action": "store_true", "help": "run again what is already done"}),
)


def run(flags: Flags, config: Config) -> None:
    """Plan, then run stage by stage in one session."""
    jobs, part = load_jobs(Path(__file__).parent), (flags.extra.first, flags.extra.last)
    names = graph.check_part(jobs, *part)
    if flags.dry_run:
        print(flags.plan(config, [jobs[name] for name in names]))
        return
    spark = build_session(config, "recsys pipeline")
    outcomes = graph.run_pipeline(
        spark, config, flags.as_of, jobs, first=part[0], last=part[1], force=flags.extra.force
    )
    print(summarize(spark, config, flags.as_of, outcomes))


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program("pipeline", __doc__, argv, run, more=MORE)


if __name__ == "__main__":
    main()
