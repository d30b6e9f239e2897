"""Turns a decorated function into a job: its context, its flags and exit codes, its place in the pipeline."""

from recsys.pipeline.context import Context
from recsys.pipeline.job import Job, execute, job
from recsys.pipeline.keys import Part

__all__ = ["Context", "Job", "Part", "execute", "job"]
