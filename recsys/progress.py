"""Timed steps and notes: the log of a run, by way of the logger `recsys`. Standard library only, for every module.

A terminal shows one aligned line per step; anything else (a job log) gets `key=value` lines. To send them elsewhere,
give the logger another handler: `logging.getLogger("recsys")`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from recsys.secrets import masked_text


@dataclass
class Step:
    """One timed step; `rows` may be set within its block."""

    name: str
    seconds: float = 0.0
    rows: int | None = None


@dataclass(eq=False)
class Recorder(logging.Filter):
    """Names the job in what is logged while it runs, and keeps the steps that end; made by :func:`recording`.

    Attributes
    ----------
    job : str
        Its name.
    steps : list of Step
        Finished steps, in order.
    """

    job: str = ""
    steps: list[Step] = field(default_factory=list)
    thread: int = field(default_factory=threading.get_ident)

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a record of this thread as one of the job's; every record passes."""
        if record.thread == self.thread:
            told = record.__dict__
            told["job"] = self.job
            if told.get("kind") == "done":
                self.steps.append(told["step"])
        return True


@contextmanager
def recording(job: str) -> Iterator[Recorder]:
    """Record what this thread logs until the block ends."""
    recorder = Recorder(job=job)
    _LOG.addFilter(recorder)
    try:
        yield recorder
    finally:
        _LOG.removeFilter(recorder)


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Time a block; log its name when it starts, and its seconds and rows when it ends.

    Parameters
    ----------
    name : str
        What is done, in the imperative: `fit ALS`.

    Yields
    ------
    Step
        The step, to set its `rows`.
    """
    name = masked_text(name)
    this = Step(name)
    _log("start", this)
    started = time.monotonic()
    try:
        yield this
    except BaseException:
        this.seconds = time.monotonic() - started
        _log("broken", this)
        raise
    this.seconds = time.monotonic() - started
    _log("done", this)


def note(message: str) -> None:
    """Log one line that is neither a step nor an error."""
    _LOG.info(masked_text(message), extra={"kind": "note"})


def _log(kind: str, this: Step) -> None:
    _LOG.info("%s: %s", kind, this.name, extra={"kind": kind, "step": this})


class _Lines(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        told = record.__dict__
        kind, this = told.get("kind", "note"), told.get("step")
        fields: dict[str, object] = {"job": told.get("job")}
        if this is None:
            fields["message"] = record.getMessage()
        else:
            fields["step"] = this.name
            if kind != "start":
                fields |= {"seconds": round(this.seconds, 2), "rows": this.rows}
        write = _for_people if sys.stderr.isatty() else _for_logs
        write(kind, {key: value for key, value in fields.items() if value not in (None, "")}, sys.stderr.write)
        sys.stderr.flush()


def _for_people(kind: str, fields: Mapping[str, object], write: Callable[[str], object]) -> None:
    job = f"{fields.get('job', ''):<13}"
    if kind == "start":
        write(f"\r\x1b[2K{job} {fields['step']} …")
    elif kind == "note":
        write(f"\r\x1b[2K{job} {fields['message']}\n")
    else:
        rows = f"{fields['rows']:>13,} rows" if "rows" in fields else ""
        mark = "" if kind == "done" else "  stopped here"
        write(f"\r\x1b[2K{job} {fields['step']!s:<44} {fields['seconds']:>7.1f} s{rows}{mark}\n")


def _for_logs(kind: str, fields: Mapping[str, object], write: Callable[[str], object]) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    write(f"{stamp} recsys {kind} {text}\n")


_LOG = logging.getLogger("recsys")
_LOG.setLevel(logging.INFO)
_LOG.propagate = False
if not _LOG.handlers:
    _LOG.addHandler(_Lines())
