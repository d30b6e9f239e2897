"""The embedding of the user: added, left out, or chosen on the validation split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.ctr.base import TrainTask
from recsys.ctr.inputs.settings import default_inputs
from recsys.ctr.inputs.spec import EmbeddingTable, FittedInput, FittedSpec
from recsys.ctr.ranker import CtrRanker
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.users import with_user
from tests.ctr import shop

pytestmark = pytest.mark.fast


def test_settings_say_whether_there_is_one() -> None:
    inputs = default_inputs()
    assert with_user(inputs, TrainCtrSettings(user_embedding="off")) == inputs
    settings = TrainCtrSettings.model_validate({"user_embedding": True, "user_l2": 0.3, "user_min_count": 9})
    assert settings.user_embedding == "on", "YAML reads on as true"
    *others, user = with_user(inputs, settings)
    assert tuple(others) == inputs
    assert (user.name, user.source, user.l2, user.min_count) == ("user", "user_id", 0.3, 9)
    assert with_user([*others, user], settings) == (*others, user)
    assert TrainCtrSettings.model_validate({"user_embedding": False}).user_embedding == "off"


def _table(rows: int, *, seed: int, users: int, tells: bool) -> pa.Table:
    """Users who click or don't, whatever the item; or users whose clicks have nothing to do with who they are."""
    random = np.random.default_rng(seed)
    user = random.integers(0, users, rows)
    inclined = np.random.default_rng(0).random(users) < 0.5
    chance = np.where(inclined[user], 0.8, 0.2) if tells else 0.5
    return pa.table(
        {
            "user_id": [f"u{n}" for n in user],
            "x": random.normal(size=rows),
            "label": (random.random(rows) < chance).astype(float),
        }
    )


def _task(directory: Path, *, tells: bool, users: int) -> TrainTask:
    shards = {
        name: shop.write(directory / name, _table(n, seed=seed, users=users, tells=tells), shards=1)
        for name, n, seed in (("train", 3000, 1), ("valid", 1500, 2))
    }
    names = tuple(f"u{n}" for n in range(users))
    spec = FittedSpec(
        (
            FittedInput("x", "x", "numeric", "zscore"),
            FittedInput("user", "user_id", "categorical", "vocabulary", table="user", l2=1e-4),
        ),
        (EmbeddingTable("user", 4, users + 2, names),),
    )
    settings = shop.changed(shop.SETTINGS, user_embedding="auto", epochs=5)
    return TrainTask(shards["train"], shards["valid"], (), spec.to_json(), settings, sample_rate=None)


def test_it_is_kept_where_users_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = CtrRanker().fit(_task(tmp_path, tells=True, users=50))
    assert bundle.metrics["user_embedding"] == 1.0
    assert [item.name for item in bundle.spec.inputs] == ["x", "user"]
    assert bundle.metrics["valid_auc_raw"] > 0.75
    assert "the embedding of the user is kept: on the validation split logloss is 0.4" in capsys.readouterr().err


def test_it_is_left_out_where_it_learns_noise(tmp_path: Path) -> None:
    task = _task(tmp_path, tells=False, users=1500)
    bundle = CtrRanker().fit(task)
    assert bundle.metrics["user_embedding"] == 0.0
    assert [item.name for item in bundle.spec.inputs] == ["x"] and bundle.spec.tables == ()
    smaller = replace(task, spec=bundle.spec.to_json())
    assert CtrRanker().fit(smaller).checksums["weights.npz"] == bundle.checksums["weights.npz"]
