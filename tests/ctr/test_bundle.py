"""The model directory: whole or not at all, verified at load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recsys.ctr.calibration import Calibration
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.settings import TrainCtrSettings
from recsys.errors import DataError
from tests.ctr import shop

pytestmark = pytest.mark.fast

SETTINGS = TrainCtrSettings.model_validate({"network": {"kind": "wide_deep", "hidden": [4, 2]}, "epochs": 3})


def _bundle(value: float = 1.0) -> ModelBundle:
    return ModelBundle(
        weights={"b": np.full((2, 3), value, np.float32), "a": np.zeros(2, np.float32)},
        spec=shop.spec(),
        config={"settings": SETTINGS.model_dump(mode="json"), "as_of": "2020-01-01"},
        calibration=Calibration("platt", -1.0, 0.5, 0.1),
        metrics={"valid_auc_raw": 0.7},
    )


def test_round_trip(tmp_path: Path) -> None:
    bundle = _bundle()
    bundle.save(str(tmp_path / "models" / "v1"))
    again = ModelBundle.load(str(tmp_path / "models" / "v1"))
    assert again.files == bundle.files
    assert again.spec == bundle.spec
    assert again.settings == SETTINGS
    assert again.calibration == bundle.calibration
    assert again.metrics == bundle.metrics
    assert again.config == json.loads(json.dumps(bundle.config))
    assert {k: v.tolist() for k, v in again.weights.items()} == {k: v.tolist() for k, v in bundle.weights.items()}
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["v1"]


def test_a_save_replaces_and_sweeps_what_a_killed_run_left(tmp_path: Path) -> None:
    for left in ("v1.writing-0000aaaa", "v1.replaced-0000bbbb", "v10"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "weights.npz").write_bytes(b"half")
    _bundle().save(str(tmp_path / "v1"))
    _bundle(2.0).save(str(tmp_path / "v1"))
    assert ModelBundle.load(str(tmp_path / "v1")).weights["b"][0, 0] == 2.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v1", "v10"]


def test_saving_the_same_again_touches_nothing(tmp_path: Path) -> None:
    _bundle().save(str(tmp_path / "v1"))
    before = (tmp_path / "v1" / "weights.npz").stat()
    _bundle().save(str(tmp_path / "v1"))
    after = (tmp_path / "v1" / "weights.npz").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("name", ["weights.npz", "spec.json", "config.json", "calibration.json", "metrics.json"])
def test_an_altered_file_is_refused(tmp_path: Path, name: str) -> None:
    _bundle().save(str(tmp_path / "v1"))
    path = tmp_path / "v1" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{name} of the model in .* was altered"):
        ModelBundle.load(str(tmp_path / "v1"))
    path.unlink()
    with pytest.raises(DataError, match=f"lacks {name}"):
        ModelBundle.load(str(tmp_path / "v1"))


def test_a_directory_without_checksums_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished model"):
        ModelBundle.load(str(tmp_path))


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    bundle = ModelBundle({"a": np.array([{"x": 1}], dtype=object)}, shop.spec(), {"settings": {}})
    with pytest.raises(ValueError, match="allow_pickle"):
        ModelBundle.from_files(bundle.files)


def test_another_format_is_refused() -> None:
    bundle = _bundle()
    other = ModelBundle(bundle.weights, bundle.spec, {**bundle.config, "format": 1})
    with pytest.raises(DataError, match="has format 1, written by another version .* reads format 2: run train_ctr"):
        ModelBundle.from_files(other.files)
