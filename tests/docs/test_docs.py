"""The pages hold together: links lead somewhere, examples of mappings are mappings, keys that are named exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.config import Config, load_config
from recsys.ingest.dataset import Dataset
from recsys.retrieval import registry
from recsys.store.catalog import all_tables
from tests.docs.blocks import PAGES, ROOT, Block, blocks

pytestmark = pytest.mark.fast

_MISSING = object()
EARLIER = "0.1.0"
"""A block below the comment `<!-- 0.1.0 -->` is of that version."""

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


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_examples_of_configs_are_configs(block: Block, tmp_path: Path) -> None:
    parsed = yaml.safe_load(block.text)
    if isinstance(parsed, dict) and set(parsed) <= {*Config.model_fields, "settings"} and block.note != EARLIER:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(parsed.get("settings", parsed)), encoding="utf-8")
        load_config([file])


@every_page
def test_config_keys_exist(page: Path) -> None:
    """Every `section.key` in code style; longer names that begin with `spark.` are Spark's own."""
    if page.name == "migration.md":
        pytest.skip("it names the keys of earlier versions")
    defaults = Config()
    for text in re.findall(r"`(?:--set )?([a-z_]+(?:\.[a-z_]+)+)\b(?!\.)[`=]", page.read_text(encoding="utf-8")):
        section, *keys = text.split(".")
        if (
            section in set(Config.model_fields) - {"dataset"}
            and keys != ["py"]
            and not (section == "spark" and len(keys) > 1)
        ):
            assert _has(getattr(defaults, section), keys), f"`{text}` is no config key"


def _has(value: Any, keys: list[str]) -> bool:
    """Tell whether a value has a key; retrievers go by their names, those outside the default list too."""
    if not keys:
        return True
    if isinstance(value, tuple):
        value = {entry.name: entry for entry in (*value, *(registry.get(kind)() for kind in registry.kinds()))}
    inner = value.get(keys[0]) if isinstance(value, dict) else getattr(value, keys[0], _MISSING)
    return inner is not _MISSING and _has(inner, keys[1:])


def test_every_table_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [table.name for table in all_tables() if f"`{table.name}`" not in readme]
    assert not missing


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and f"({page.name})" not in index
    ]
    assert not missing
