"""Timed steps and notes: what a run says while it works. Standard library only, so that any layer may speak.

A person at a terminal sees one aligned line per step; anything else (a job log) gets one `key=value` line.
The steps of the current run are also kept, and end up in the `runs` table.
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
    """One timed step. `rows` may be set inside the block."""

    name: str
    seconds: float = 0.0
    rows: int | None = None


@dataclass
class Recorder:
    """What the current run did: its steps, the tables read and written with versions, the rows written.

    Attributes
    ----------
    reads, writes : dict of str to int
        Table name to Delta version.
    """

    job: str = ""
    steps: list[Step] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


_current = Recorder()


def current() -> Recorder:
    """Return the recorder of the run in progress (a throw-away one outside a run)."""
    return _current


@contextmanager
def recording(job: str) -> Iterator[Recorder]:
    """Make a fresh recorder the current one for the time of the block."""
    global _current
    before, _current = _current, Recorder(job=job)
    try:
        yield _current
    finally:
        _current = before


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Time a block, say its name when it starts and its seconds and rows when it ends.

    Parameters
    ----------
    name : str
        What is done, in the imperative: `fit ALS`.
    """
    this = Step(name)
    recorder = _current
    _say("start", job=recorder.job, step=name)
    started = time.monotonic()
    try:
        yield this
    except BaseException:
        this.seconds = time.monotonic() - started
        _say("broken", job=recorder.job, step=name, seconds=round(this.seconds, 2))
        raise
    this.seconds = time.monotonic() - started
    recorder.steps.append(this)
    _say("done", job=recorder.job, step=name, seconds=round(this.seconds, 2), rows=this.rows)


def note(message: str) -> None:
    """Say one line that is neither a step nor an error."""
    _say("note", job=_current.job, message=message)


def _terminal() -> bool:
    return sys.stderr.isatty()


def _say(kind: str, **fields: object) -> None:
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
