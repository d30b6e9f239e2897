"""The commands that the pages print name targets, programs, modules and flags that there are."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec

import pytest

from jobs import clean
from recsys.config import load_config
from recsys.pipeline import flags
from tests.docs.blocks import ROOT, Block, blocks

pytestmark = pytest.mark.fast

TARGETS = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
OF_THE_PIPELINE = [(("--from",), {}), (("--to",), {}), (("--force",), {"action": "store_true"})]
OF_THE_BACKTEST = [((f"--{name}",), {}) for name in ("instants", "first", "last", "every")]
OF_THE_SEARCH = [((f"--{name}",), {}) for name in ("retriever", "trials", "metric", "minutes", "out")]
MORE = {
    "jobs/clean.py": clean.run.flags,
    "jobs/pipeline.py": OF_THE_PIPELINE,
    "jobs/backtest.py": OF_THE_BACKTEST,
    "jobs/tune.py": OF_THE_SEARCH,
    "jobs/maintain.py": [(("--table",), {})],
}
OF_SPARK = {"--py-files", "--master", "--deploy-mode", "--packages", "--driver-memory", "--total-executor-cores"} | {
    f"--executor-{what}" for what in ("cores", "memory")
}
"""Flags of spark-submit that take a value."""


def commands(block: Block) -> list[list[str]]:
    """The words of each command of a block; comments and line ends are taken out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("block", [block for block in blocks("bash") if block.runs], ids=str)
def test_commands_are_there(block: Block) -> None:
    for words in commands(block):
        program, *rest = words
        if program == "make":
            targets = [word for word in rest if "=" not in word]
            assert set(targets) <= set(TARGETS), f"make has no target {targets}"
        elif program == "spark-submit" or program.endswith("python") or program.startswith("python"):
            _check_program(rest)
        elif program.startswith("recsys-"):
            _check_job(f"jobs/{program.removeprefix('recsys-').replace('-', '_')}.py", rest)


def _check_program(words: list[str]) -> None:
    while words and words[0] in OF_SPARK:
        words = words[2:]
    words = [word for word in words if word != "..."]
    if words[:1] == ["-m"]:
        assert find_spec(words[1]), f"there is no module {words[1]}"
    elif words and words[0].startswith("jobs/"):
        _check_job(words[0], words[1:])
    elif words and words[0].endswith(".py"):
        assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"


def _check_job(file: str, words: list[str]) -> None:
    assert (ROOT / file).is_file(), f"there is no {file}"
    parsed = flags.parse(file, None, words, more=MORE.get(file, ()))
    # Files of the reader's own are not there.
    shipped = [ROOT / config for config in parsed.config if config.startswith("conf/")]
    load_config(shipped, overrides=parsed.overrides)
