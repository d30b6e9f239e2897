"""A job as a file, for tests that add one to a copy of `jobs/`."""

from __future__ import annotations

_FILE = '''"""Count events.

Reads events; writes models.
"""

from recsys import data
from recsys.pipeline import Context, job
from recsys.store import Writes


@job("{name}", reads=(data.EVENTS,), writes=(data.{writes},), config=("signal.weights",))
def run(context: Context) -> Writes:
    """Do nothing."""
    return Writes()


if __name__ == "__main__":
    run.main()
'''


def job_file(name: str, *, writes: str = "MODELS") -> str:
    """Write the source of a job that reads events and writes a table."""
    return _FILE.format(name=name, writes=writes)
