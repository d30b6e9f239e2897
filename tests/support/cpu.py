"""What the test files cost: CPU-seconds of the process tree, by file, at the end of a run.

A plugin of `tests/conftest.py`. What a file starts counts as its own: the JVM, Python workers, programs. A fixture of
the whole session counts for the file that asks for it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import psutil
import pytest

SHOWN = 10
_KEY = "cpu_seconds"


def tree_seconds() -> float:
    """CPU-seconds of this process and all below it, those of ended processes included once their parent knows."""
    total = 0.0
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Meter:
    """Adds up what each file costs in this process; xdist's controller adds up what its workers found."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._mark = tree_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
        """Read the meter after the last test of a file."""
        result = yield
        if nextitem is None or _file(nextitem) != _file(item):
            now = tree_seconds()
            self.seconds[_file(item)] += max(now - self._mark, 0.0)
            self._mark = now
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand what was found to xdist's controller, in one of its workers."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEY] = dict(self.seconds)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker found; one that crashed has nothing to say."""
        self.seconds.update(getattr(node, "workeroutput", {}).get(_KEY, {}))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the most expensive files."""
        if not self.seconds:
            return
        terminalreporter.section(f"CPU-seconds of the {SHOWN} most expensive test files")
        for name, seconds in self.seconds.most_common(SHOWN):
            terminalreporter.write_line(f"{seconds:8.1f}  {name}")
        terminalreporter.write_line(f"{self.seconds.total():8.1f}  in all {len(self.seconds)} files")


def pytest_configure(config: pytest.Config) -> None:
    """Start the meter."""
    config.pluginmanager.register(Meter(), "cpu-seconds")


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]
