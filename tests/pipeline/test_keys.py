"""Config keys: a job reads what it declares, and only those decide whether it runs again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from recsys.config import Config, load_config
from recsys.pipeline import Part
from recsys.pipeline.job import Job, load_jobs
from recsys.pipeline.keys import keys_hash, permitted

pytestmark = pytest.mark.fast

AS_OF = datetime(2024, 3, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return load_jobs(ROOT / "jobs")


def _again(jobs: dict[str, Job], *overrides: str) -> set[str]:
    """Jobs of which some key changes by these overrides."""
    before, after = load_config(), load_config(overrides=overrides)
    return {name for name, job in jobs.items() if keys_hash(before, job.config) != keys_hash(after, job.config)}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rank.k=15", {"rank", "publish"}),
        ("rank.diversity=0", {"rank"}),
        ("publish.min_list_length=3", {"publish"}),
        ("evaluate.ks=[10]", {"evaluate"}),
        ("train_ctr.epochs=2", {"train_ctr"}),
        ("clean.session_gap_minutes=20", {"clean"}),
        ("candidates.exclude_seen=false", {"candidates", "publish", "evaluate"}),
        ("spark.driver_memory=2g", set()),
        ("warehouse.path=elsewhere", set()),
    ],
)
def test_only_jobs_that_read_a_key_run_again(jobs: dict[str, Job], override: str, expected: set[str]) -> None:
    assert _again(jobs, override) == expected


def test_a_job_can_read_what_it_declares_and_where_things_lie() -> None:
    config = permitted(load_config(), ["rank.k", "publish"], job="publish")
    assert config.rank.k == load_config().rank.k
    assert config.publish == load_config().publish
    assert config.spark.broadcast_limit_mb == 256


@pytest.mark.parametrize("path", ["rank.diversity", "signal", "evaluate.ks"])
def test_reading_another_key_is_a_clear_error(path: str) -> None:
    found: object = permitted(load_config(), ["rank.k"], job="publish")
    with pytest.raises(AttributeError, match="reads the config key .*, which its @job does not declare"):
        for name in path.split("."):
            found = getattr(found, name)


def test_a_part_of_a_key_may_decide_alone() -> None:
    key = Part("rank", lambda rank: rank.k)
    assert keys_hash(load_config(), [key]) == keys_hash(load_config(overrides=["rank.diversity=0"]), [key])
    assert keys_hash(load_config(), [key]) != keys_hash(load_config(overrides=["rank.k=3"]), [key])
    assert cast(Config, permitted(load_config(), [key], job="x")).rank.diversity == load_config().rank.diversity


def test_a_dataset_decides_what_clean_makes_but_its_settings_do_not(jobs: dict[str, Job]) -> None:
    clean, rank = jobs["clean"].config, jobs["rank"].config
    mapped = load_config(dataset=ROOT / "conf/datasets/synthetic-shop.yaml")
    assert keys_hash(mapped, clean) != keys_hash(load_config(), clean)
    assert mapped.dataset is not None
    other = mapped.dataset.model_copy(update={"settings": {"rank": {"k": 3}}})
    assert keys_hash(mapped.model_copy(update={"dataset": other}), clean) == keys_hash(mapped, clean)
    assert keys_hash(mapped.model_copy(update={"dataset": other}), rank) == keys_hash(mapped, rank)
