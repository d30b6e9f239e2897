"""Timed steps and notes: the log of a run. Standard library only, so that every module may use it.

A terminal shows one aligned line per step; anything else (a job log) gets `key=value` lines. The steps of the current
run are also kept, for the `runs` table.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Step:
    """One timed step; `rows` may be set within its block."""

    name: str
    seconds: float = 0.0
    rows: int | None = None


@dataclass
class Recorder:
    """What the current run did.

    Attributes
    ----------
    job : str
        Its name.
    steps : list of Step
        Finished steps, in order.
    reads, writes : dict of str to int
        Table name to Delta version.
    rows : dict of str to int
        Table name to rows written.
    """

    job: str = ""
    steps: list[Step] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


_current = Recorder()


def current() -> Recorder:
    """Return the recorder of the current run; outside a run, one that is thrown away."""
    return _current


@contextmanager
def recording(job: str) -> Iterator[Recorder]:
    """Make a new recorder the current one until the block ends."""
    global _current
    before, _current = _current, Recorder(job=job)
    try:
        yield _current
    finally:
        _current = before


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
    this = Step(name)
    recorder = _current
    _log("start", job=recorder.job, step=name)
    started = time.monotonic()
    try:
        yield this
    except BaseException:
        this.seconds = time.monotonic() - started
        _log("broken", job=recorder.job, step=name, seconds=round(this.seconds, 2))
        raise
    this.seconds = time.monotonic() - started
    recorder.steps.append(this)
    _log("done", job=recorder.job, step=name, seconds=round(this.seconds, 2), rows=this.rows)


def note(message: str) -> None:
    """Log one line that is neither a step nor an error."""
    _log("note", job=_current.job, message=message)


def _terminal() -> bool:
    return sys.stderr.isatty()


def _log(kind: str, **fields: object) -> None:
    write = _for_people if _terminal() else _for_logs
    write(kind, {key: value for key, value in fields.items() if value not in (None, "")}, sys.stderr.write)
    sys.stderr.flush()


def _for_people(kind: str, fields: dict[str, object], write: Callable[[str], object]) -> None:
    job = f"{fields.get('job', ''):<13}"
    if kind == "start":
        write(f"\r\x1b[2K{job} {fields['step']} …")
    elif kind == "note":
        write(f"\r\x1b[2K{job} {fields['message']}\n")
    else:
        rows = f"{fields['rows']:>13,} rows" if "rows" in fields else ""
        mark = "" if kind == "done" else "  stopped here"
        write(f"\r\x1b[2K{job} {fields['step']!s:<44} {fields['seconds']:>7.1f} s{rows}{mark}\n")


def _for_logs(kind: str, fields: dict[str, object], write: Callable[[str], object]) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = " ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    write(f"{stamp} recsys {kind} {text}\n")
