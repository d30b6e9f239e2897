"""What a mapping may set: what its data calls for, and never where or how jobs run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.config import Config, load_config
from recsys.config.mapped import NOT_ITS_BUSINESS, SECTIONS
from recsys.errors import ConfigError
from tests.ingest.support import source

pytestmark = pytest.mark.fast


def mapping(folder: Path, settings: Any) -> Path:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "sources": [source()], "settings": settings}), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"spark": {"conf": {"spark.jars": "http://x/evil.jar"}}}, "spark"),
        ({"spark": {"master": "spark://evil:7077"}}, "spark"),
        ({"warehouse": "/elsewhere"}, "warehouse"),
        ({"warehouse": {"path": "/elsewhere"}}, "warehouse"),
        ({"runner": {"lease_minutes": 1}}, "runner"),
        ({"publish": {"min_users_share": 0}}, "publish"),
        ({"input": {"root": "/"}}, "input"),
        ({"input": {"trusted_paths": ["/"]}}, "input"),
        ({"dataset": {}}, "dataset"),
        ({"rank": {"k": 5}, "spark": {}}, "spark"),
        ({"train_ctr": {"launcher": "horovod"}}, "train_ctr.launcher"),
        ({"train_ctr": {"ranks": 1000}}, "train_ctr.ranks"),
        ({"train_ctr": {"threads": 1000}}, "train_ctr.threads"),
        ({"train_ctr": {"cache_mb": 10**9}}, "train_ctr.cache_mb"),
        ({"clean": {"accept_changed_mapping": True}}, "clean.accept_changed_mapping"),
    ],
)
def test_where_and_how_jobs_run_is_not_its_business(tmp_path: Path, settings: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"mine.yaml: a mapping may not set settings.{key};.*--config file"):
        load_config(dataset=mapping(tmp_path, settings))


def test_what_its_data_calls_for_is(tmp_path: Path) -> None:
    config = load_config(dataset=mapping(tmp_path, {"rank": {"k": 7}, "train_ctr": {"epochs": 2}}))
    assert (config.rank.k, config.train_ctr.epochs) == (7, 2)


def test_every_section_is_decided_on() -> None:
    elsewhere = {"warehouse", "input", "spark", "runner", "maintain", "publish", "dataset"}
    assert set(Config.model_fields) == {*SECTIONS, *elsewhere}


def test_every_key_that_is_refused_is_one() -> None:
    for section, keys in NOT_ITS_BUSINESS.items():
        assert keys <= set(type(getattr(Config(), section)).model_fields)
