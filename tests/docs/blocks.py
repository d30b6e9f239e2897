"""Fenced blocks of the pages, and where each of them stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "notebooks").glob("*.md"),
        ROOT / "benchmarks/RESULTS.md",
    ]
)
"""Every page for readers."""
NOT_RUN = "not run"
"""A block below the comment `<!-- not run: why -->` is shown, not run."""
_BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the comment right above it, if there is one."""

    page: str
    line: int
    language: str
    text: str
    note: str

    @property
    def runs(self) -> bool:
        """Whether the page leaves it to the tests to run it."""
        return not self.note.startswith(NOT_RUN)

    def __str__(self) -> str:
        """Where it stands, as editors and test ids name it."""
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    """Return a page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(*languages: str) -> list[Block]:
    """Every fenced block of these languages, page by page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match["language"] in languages:
                line = text.count("\n", 0, match.start("text"))
                found.append(Block(name_of(page), line, match["language"], match["text"], match["note"] or ""))
    return found


def delta_readers() -> list[Block]:
    """Python blocks that read Delta tables without a JVM: each of them is a program of its own."""
    return [block for block in blocks("python") if block.runs and "DeltaTable(" in block.text]
