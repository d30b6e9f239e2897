"""What turns a `run(spark, cfg, as_of)` into a program: flags, exit codes, the slice it holds, the `runs` table."""

from recsys.runner.job import Job, execute
from recsys.runner.runs import RunLog

__all__ = ["Job", "RunLog", "execute"]
