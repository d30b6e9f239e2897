"""The pages hold together: links lead somewhere, examples of mappings are mappings, keys that are named exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from recsys import tables
from recsys.config import Config
from recsys.config.dataset import Dataset

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "notebooks").glob("*.md"),
        ROOT / "benchmarks/RESULTS.md",
    ]
)
SECTIONS = {name: type(field.default) for name, field in Config.model_fields.items() if name != "dataset"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target} is not there"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{target}: no such heading"


@every_page
def test_examples_of_mappings_are_mappings(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        parsed = yaml.safe_load(block)
        if isinstance(parsed, dict) and {"name", "sources"} <= set(parsed):
            Dataset.model_validate(parsed)


@every_page
def test_config_keys_exist(page: Path) -> None:
    """Every `section.key` in code style; longer names that begin with `spark.` are Spark's own."""
    for section, key in re.findall(r"`(?:--set )?([a-z]+)\.([a-z_]+)\b(?!\.)", page.read_text(encoding="utf-8")):
        if section in SECTIONS and key != "py":
            assert key in SECTIONS[section].model_fields, f"`{section}.{key}` is no config key"


def test_every_table_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [table.name for table in tables.ALL if f"`{table.name}`" not in readme]
    assert not missing


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and f"({page.name})" not in index
    ]
    assert not missing
