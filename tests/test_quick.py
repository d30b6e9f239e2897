"""When a local session is set for little data: by the size of input and warehouse together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsys.environment import Environment
from recsys.quick import is_small

pytestmark = pytest.mark.fast

MEGABYTE = 2**20


def environment(root: Path, *, limit: int = 2, **spark: Any) -> Environment:
    return Environment.model_validate(
        {
            "input": {"root": str(root / "raw")},
            "warehouse": {"path": str(root / "warehouse")},
            "spark": {"quick_below_mb": limit, **spark},
        }
    )


def written(root: Path, name: str, size: int) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return root


def test_little_input_and_no_warehouse_yet_is_small(tmp_path: Path) -> None:
    assert is_small(environment(written(tmp_path, "raw/a/events.json", 2 * MEGABYTE)))


def test_input_above_the_limit_is_not(tmp_path: Path) -> None:
    assert not is_small(environment(written(tmp_path, "raw/a/events.json", 2 * MEGABYTE + 1)))


def test_a_small_delivery_to_a_large_warehouse_is_not(tmp_path: Path) -> None:
    written(tmp_path, "raw/events.json", 10)
    assert not is_small(environment(written(tmp_path, "warehouse/events/part-0.parquet", MEGABYTE)))


def test_packed_files_count_as_what_they_hold(tmp_path: Path) -> None:
    assert not is_small(environment(written(tmp_path, "raw/events.json.gz", MEGABYTE)))


@pytest.mark.parametrize("spark", [{"limit": 0}, {"profile": "cluster"}])
def test_it_can_be_switched_off_and_is_for_the_local_profile_alone(tmp_path: Path, spark: dict[str, Any]) -> None:
    assert not is_small(environment(written(tmp_path, "raw/events.json", 10), **spark))


def test_what_lies_elsewhere_is_not_measured(tmp_path: Path) -> None:
    here = environment(written(tmp_path, "raw/events.json", 10))
    away = here.warehouse.model_copy(update={"path": "s3a://bucket/warehouse"})
    assert not is_small(here.model_copy(update={"warehouse": away}))
