"""The wheel as a user installs it, and the tools that set a machine up."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.jobs import job_file

ROOT = Path(__file__).resolve().parent.parent
ADDED = "count_events"
"""A job that is added to the copy of the source, as one file and nothing else."""
PROGRAMS = sorted({*(path.stem for path in (ROOT / "jobs").glob("[!_]*.py")), ADDED})
FLAGS = ("--config", "--dataset", "--as-of", "--set", "--dry-run", "--from", "--to")
LANES = ("spark40", "spark35")

pytestmark = pytest.mark.fast


def python(*args: str, cwd: Path, **variables: str) -> str:
    """Run this interpreter outside the source tree and return its stdout; stderr is in the failure."""
    return run(sys.executable, *args, cwd=cwd, **variables)


def run(*command: str, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built wheel installed in it, and nothing else."""
    scratch = tmp_path_factory.mktemp("packaging")
    source, wheels, target = scratch / "source", scratch / "wheels", scratch / "site"
    source.mkdir()
    # A copy, because a build leaves folders in the tree that it builds.
    for name in ("recsys", "jobs", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    (source / "jobs" / f"{ADDED}.py").write_text(job_file(ADDED), encoding="utf-8")
    quiet = ["-q", "--no-deps", "--no-index"]
    python("-m", "pip", "wheel", *quiet, "--no-build-isolation", "-w", str(wheels), str(source), cwd=scratch)
    (wheel,) = wheels.glob("*.whl")
    assert re.fullmatch(r"recsys-[\d.]+-py3-none-any\.whl", wheel.name)
    python("-m", "pip", "install", *quiet, "--target", str(target), str(wheel), cwd=scratch)
    return target


@pytest.fixture(scope="module")
def installed(site: Path) -> Distribution:
    """The metadata of the installed wheel."""
    (info,) = site.glob("recsys-*.dist-info")
    return PathDistribution(info)


def test_metadata(installed: Distribution) -> None:
    init = (ROOT / "recsys/__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{installed.version}"' in init
    assert installed.metadata["Requires-Python"] == ">=3.11"
    assert set(installed.metadata.get_all("Provides-Extra", [])) == {"cpu", "gpu", "ann", "tune", "notebooks", "dev"}
    assert "# " in str(installed.metadata.get_payload())  # README.md


def test_every_source_file_is_in_the_wheel(site: Path) -> None:
    packages = {"recsys": "recsys", "jobs": "recsys_jobs", "conf": "recsys_conf"}
    wanted = {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in packages.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = {name for name in wanted if not (site / name).is_file()}
    assert not missing
    assert "recsys_conf/base.yaml" in wanted


def test_console_scripts(site: Path, installed: Distribution, tmp_path: Path) -> None:
    scripts = {entry.name: entry for entry in installed.entry_points if entry.group == "console_scripts"}
    assert set(scripts) == {*(f"recsys-{name.replace('_', '-')}" for name in PROGRAMS), "recsys-synthetic"}
    assert all((site / "bin" / name).is_file() for name in scripts)
    assert python("-c", load_all(scripts.values()), cwd=tmp_path, PYTHONPATH=str(site)) == "all callable\n"


def load_all(entries: Iterable[EntryPoint]) -> str:
    """A program that loads every entry point, from the installed wheel and not from the source tree."""
    checks = [
        f"import {entry.module} as m; assert callable(m.{entry.attr}) and '/site/' in m.__file__, m"
        for entry in entries
    ]
    return "\n".join([*checks, "print('all callable')"])


def test_programs_start_from_the_wheel(site: Path, tmp_path: Path) -> None:
    def printed(name: str, *flags: str) -> str:
        return run(str(site / "bin" / name), *flags, cwd=tmp_path, PYTHONPATH=str(site))

    assert all(flag in printed("recsys-pipeline", "--help") for flag in FLAGS)
    assert "usage: rank" in printed("recsys-rank", "--help")
    assert "rank: reads events, impressions, position_effects" in printed("recsys-rank", "--dry-run")
    assert f"{ADDED}: reads events; writes models" in printed("recsys-count-events", "--dry-run")
    assert f"\n{ADDED}: reads events" in printed("recsys-pipeline", "--dry-run")


@pytest.mark.parametrize("lane", LANES)
def test_locks_fit_the_wheel_and_carry_hashes(lane: str, installed: Distribution) -> None:
    lock = (ROOT / "requirements" / f"{lane}.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    for requirement in map(Requirement, installed.requires or []):
        # GPU machines take another distribution of TensorFlow, which no lock names.
        if requirement.marker and "gpu" in str(requirement.marker):
            continue
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), f"{lane} pins {pin}, outside {requirement}"
    blocks = re.split(r"\n(?=\S+==)", lock)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in lock and "nvidia" not in lock


def doctor(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the doctor with this environment and no other."""
    command = [sys.executable, str(ROOT / "tools/doctor.py"), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def java_row(printed: str) -> str:
    (row,) = [row for row in printed.splitlines() if re.match(r"(OK|MISSING) +JDK", row)]
    return row


def test_doctor_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    quiet = doctor("--quiet", PATH=str(tmp_path))
    assert (quiet.returncode, quiet.stdout) == (1, "")
    (line,) = quiet.stderr.splitlines()
    assert all(name in line for name in ("JDK", "C++ compiler", "make", "git"))
    full = doctor(PATH=str(tmp_path))
    assert full.returncode == 1
    missing = [row for row in full.stdout.splitlines() if row.startswith("MISSING") and "GiB" not in row]
    assert len(missing) == 4


def test_doctor_believes_java_home_before_path() -> None:
    path = os.environ["PATH"]
    assert java_row(doctor(PATH=path, JAVA_HOME="/nowhere").stdout).startswith("MISSING")
    assert java_row(doctor(PATH=path).stdout).startswith("OK")


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.8.0_392", "MISSING"), ("11.0.2", "MISSING"), ("17.0.15", "OK"), ("21", "OK"), ("24.0.1", "MISSING")],
)
def test_doctor_reads_java_versions(version: str, verdict: str, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    printed = doctor(PATH=os.environ["PATH"], JAVA_HOME=str(tmp_path)).stdout
    assert java_row(printed).startswith(verdict)
