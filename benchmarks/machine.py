"""What a measurement ran on, and what its process tree cost: CPU-seconds and peak memory."""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import dataclass, field

import psutil


def describe() -> dict[str, object]:
    """The machine in a few words, for the `machine` key of a result."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }


@dataclass
class Meter:
    """Samples the process tree below this process: CPU-seconds so far and the peak of its resident memory.

    A process that ended keeps the CPU-seconds of its last sample: what it used in its last half second is not counted,
    nor is a process that lives for less than that. The sums are a lower bound, by a percent or so.
    """

    period: float = 0.5
    peak_bytes: int = 0
    _seen: dict[tuple[int, float], float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Meter:
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def cpu_seconds(self) -> float:
        """CPU-seconds of the tree up to now, user and system, ended processes included."""
        self._sample()
        return sum(self._seen.values())

    def take_peak(self) -> int:
        """Return the peak since the last call, in bytes, and start a new one."""
        self._sample()
        peak, self.peak_bytes = self.peak_bytes, 0
        return peak

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(self.period):
            self._sample()

    def _sample(self) -> None:
        total = 0
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._seen[(process.pid, process.create_time())] = times.user + times.system
                total += process.memory_info().rss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, total)


def now() -> float:
    """Seconds of a clock that never goes back."""
    return time.monotonic()
