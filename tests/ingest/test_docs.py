"""The newcomers' page agrees with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from recsys.ingest.dataset import Dataset, Source
from recsys.ingest.mappable import mappable_columns
from recsys.ingest.rules import REASONS

pytestmark = pytest.mark.fast

PAGE = Path("docs/your-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_reason_is_in_the_table() -> None:
    assert re.findall(r"^\| `([a-z_]+(?::\w+)?)` \| (.*) \|$", PAGE, flags=re.MULTILINE)[-len(REASONS) :] == list(
        REASONS.items()
    )


def test_the_smallest_mapping_is_one() -> None:
    assert Dataset.model_validate(yaml.safe_load(BLOCKS[0])).sources[0].columns["event_time"].column == "at"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.startswith("- name")])
def test_sources_are_valid(block: str) -> None:
    (source,) = yaml.safe_load(block)
    Source.model_validate(source)


def test_every_block_is_yaml() -> None:
    for block in BLOCKS:
        assert yaml.safe_load(block)


@pytest.mark.parametrize("table", ["events", "impressions", "items", "users"])
def test_every_column_is_named(table: str) -> None:
    (row,) = re.findall(rf"^\| `{table}`.*$", PAGE, flags=re.MULTILINE)
    assert set(mappable_columns(table)) <= set(re.findall(r"`(\w+)`", row))
