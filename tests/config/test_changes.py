"""What differs from the defaults, by dotted keys."""

from __future__ import annotations

import pytest

from recsys.config import Config, changed_keys, config_json, load_config

pytestmark = pytest.mark.fast


def test_the_defaults_differ_in_nothing() -> None:
    assert changed_keys(config_json(Config())) == []


def test_keys_of_sections_and_of_named_entries() -> None:
    config = load_config([], overrides=["rank.k=7", "retrievers.als.rank=8"])
    found = dict(changed_keys(config_json(config)))
    assert found["rank.k"] == "7" and found["retrievers.als.rank"] == "8"
    assert not any(key.startswith("retrievers.popular") for key in found)
