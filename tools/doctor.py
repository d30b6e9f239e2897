"""Check that this machine has what the project is built with.

Standard library only, and no syntax newer than Python 3.8: it has to run where the right Python is missing.
One line for each check; the exit status is 1 if something is missing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PYTHON = (3, 11)
# From Java 24 on there is no Security Manager, which Spark's Hadoop client asks for at start.
JAVA_MIN, JAVA_END = 17, 24
DISK_GIB = 6
DISK_BUILT_GIB = 2
MEMORY_GIB = 10
GIB = 1024**3


class Check(NamedTuple):
    """Result of one check; `hint` says what to do and is empty when nothing is missing."""

    name: str
    found: str
    hint: str = ""


def output(*command: str) -> str | None:
    """Return what a command prints (stdout and stderr), or None if it cannot be run or fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def first_line(text: str) -> str:
    """Return the first line of a text, or nothing."""
    return text.splitlines()[0] if text else ""


def check_python() -> Check:
    """Python 3.11 with venv and headers: the locks are for 3.11, and Horovod compiles against `Python.h`."""
    wanted = "{}.{}".format(*PYTHON)
    python = sys.executable if sys.version_info[:2] == PYTHON else "python" + wanted
    version = output(python, "-c", "import platform; print(platform.python_version())")
    if version is None:
        hint = f"install python{wanted}, or name one: make PYTHON=/path/to/python{wanted}"
        return Check(f"Python {wanted}", "only {}.{}.{}".format(*sys.version_info[:3]), hint)
    if output(python, "-c", "import ensurepip, venv") is None:
        return Check(f"Python {wanted}", "no venv module", f"install python{wanted}-venv")
    include = output(python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])")
    if include is None or not (Path(include) / "Python.h").is_file():
        return Check(f"Python {wanted}", "no Python.h", f"install python{wanted}-dev")
    return Check(f"Python {wanted}", f"{version} ({python})")


def check_java() -> Check:
    """A JDK that both Spark versions run on; like Spark, `JAVA_HOME` is believed before `PATH`."""
    name = f"JDK {JAVA_MIN} or 21"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    found = output(java, "-version")
    if found is None:
        if home:
            return Check(name, f"JAVA_HOME={home} has no bin/java that runs", "point JAVA_HOME to a JDK, or unset it")
        return Check(name, "no java on PATH", "install openjdk-17-jdk-headless, or set JAVA_HOME")
    match = re.search(r'version "(?:1\.)?(\d+)', found)
    if match is None or not JAVA_MIN <= int(match.group(1)) < JAVA_END:
        where = "JAVA_HOME" if home else "PATH"
        return Check(name, f"{first_line(found)} ({where})", "install a JDK 17 or 21 and point JAVA_HOME to it")
    return Check(name, f"{first_line(found)} ({shutil.which(java) or java})")


def check_command(name: str, candidates: list[str], package: str) -> Check:
    """One of several commands answers `--version`."""
    for command in filter(None, candidates):
        found = output(*command.split(), "--version")
        if found is not None:
            return Check(name, first_line(found))
    return Check(name, "none on PATH", f"install {package}")


def check_disk(root: Path, wanted: int) -> Check:
    """Room for one environment, its build and the demo's tables; for the tables alone once it is built."""
    free = shutil.disk_usage(root).free / GIB
    hint = "" if free >= wanted else f"free {wanted} GiB on the disk of {root}"
    return Check(f"Disk, {wanted} GiB free", f"{free:.1f} GiB", hint)


def check_memory() -> Check:
    """Memory of the machine, or of the container that limits it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.is_file() and limit.read_text().strip().isdigit():
            total = min(total, int(limit.read_text()))
    found = total / GIB
    hint = "" if found >= MEMORY_GIB else f"use a machine or container with {MEMORY_GIB} GiB of memory"
    return Check(f"Memory, {MEMORY_GIB} GiB", f"{found:.1f} GiB", hint)


def run_checks(venv: Path | None) -> list[Check]:
    """Run every check, in the order in which a set-up would meet them."""
    built = venv is not None and venv.is_dir()
    return [
        check_python(),
        check_java(),
        check_command("C++ compiler", [os.environ.get("CXX", ""), "c++", "g++"], "g++ (Horovod is built here)"),
        check_command("make", ["make"], "make"),
        check_command("git", ["git"], "git"),
        check_disk(Path(__file__).resolve().parent.parent, DISK_BUILT_GIB if built else DISK_GIB),
        check_memory(),
    ]


def main() -> int:
    """Print the checks and return 1 if something is missing."""
    parser = argparse.ArgumentParser(description="Check what this machine has and lacks for building recsys.")
    parser.add_argument("--quiet", action="store_true", help="print one line if something is missing")
    parser.add_argument("--venv", type=Path, help="environment that needs no more room where it is there")
    flags = parser.parse_args()
    quiet, checks = flags.quiet, run_checks(flags.venv)
    missing = [check for check in checks if check.hint]
    if quiet and missing:
        found = "; ".join(f"{check.name} ({check.found}: {check.hint})" for check in missing)
        print(f"Missing: {found}. All checks: make doctor", file=sys.stderr)
    if not quiet:
        for check in checks:
            print(f"{'MISSING' if check.hint else 'OK':<8} {check.name:<20} {check.found}")
            if check.hint:
                print(f"{'':8} -> {check.hint}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
