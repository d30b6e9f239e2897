"""A ranker of several heads: what is saved is what is loaded, and what its score is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys.ctr.heads import CHOICE, Choice, Heads, Point
from recsys.ctr.inputs.spec import FittedSpec
from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.settings import TrainCtrSettings
from recsys.errors import DataError

pytestmark = pytest.mark.fast

CHOSEN = Choice(
    {"engage": 1.0, "click": 0.5},
    True,
    "used: it helps",
    (Point("click", 0.5, 0.2, None),),
    {"click_test_top_observed": 0.3},
)


def bundle(seed: int) -> ModelBundle:
    config = {"settings": TrainCtrSettings().model_dump(mode="json")}
    return ModelBundle({"bias": np.full(1, seed, np.float32)}, FittedSpec((), ()), config, metrics={"test_rows": 2.0})


@pytest.fixture
def heads() -> Heads:
    return Heads({"engage": bundle(1), "click": bundle(2), "cart": bundle(3)}, CHOSEN)


def test_what_is_saved_is_what_is_loaded(heads: Heads, tmp_path: Path) -> None:
    checksums = heads.save(str(tmp_path / "v"))
    assert set(checksums) == {CHOICE, *(f"{h}/{f}" for h in heads.bundles for f in heads.bundles[h].checksums)}
    found = Heads.load(str(tmp_path / "v"))
    assert list(found.bundles) == ["engage", "click", "cart"] and found.choice == CHOSEN
    assert {head: one.weights["bias"][0] for head, one in found.bundles.items()} == {"engage": 1, "click": 2, "cart": 3}
    assert heads.save(str(tmp_path / "v")) == checksums, "equal rankers give equal files"


def test_only_heads_with_a_weight_are_scored(heads: Heads) -> None:
    assert list(heads.scoring) == ["engage", "click"]
    rows = {"engage_test_rows": 2.0, "click_test_rows": 2.0, "cart_test_rows": 2.0}
    assert heads.metrics == {**rows, **CHOSEN.metrics}


def test_a_directory_without_the_choice_is_no_ranker(heads: Heads, tmp_path: Path) -> None:
    heads.save(str(tmp_path / "v"))
    (tmp_path / "v" / CHOICE).unlink()
    with pytest.raises(DataError, match=r"is missing \(choice\.json\); run train_ctr"):
        Heads.load(str(tmp_path / "v"))


def test_a_ranker_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    bundle(1).save(str(tmp_path / "old"))
    with pytest.raises(DataError, match="written by an earlier version of the project; run train_ctr"):
        Heads.load(str(tmp_path / "old"))
