"""The demo says what it will do before it starts; what it prints at the end is tested in tests/e2e."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from recsys.config import load_config
from recsys.demo import announcement

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[1]


def test_the_demo_begins_by_saying_what_it_will_do() -> None:
    config = load_config(overrides=["warehouse=demo/warehouse-5000"])
    text = announcement(5000, Path("demo/raw-5000"), config, ["clean", "index"])
    for part in ("5,000 user actions", "raw logs in demo/raw-5000", "clean, index", "demo/warehouse-5000", "minutes"):
        assert part in text


@pytest.mark.parametrize(
    ("variables", "flags"),
    [([], ""), (["ROWS=1000000"], " --events 1000000"), (["ROWS=9", "DIR=my demo"], ' --events 9 --dir "my demo"')],
)
def test_make_demo_takes_rows_and_a_folder(variables: list[str], flags: str) -> None:
    command = ["make", "--no-print-directory", "-n", "-o", "venv", "demo", *variables]
    # The tests may be started by make, whose variables would reach this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    printed = done.stdout
    assert " ".join(printed.splitlines()[-1].split()).endswith(f"python -m recsys.demo{flags}")
