"""Keys of earlier versions are refused with their new name."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.config import Config, load_config
from recsys.config.renamed import KEYS, NEWER_KEYS, moved
from recsys.errors import ConfigError

pytestmark = pytest.mark.fast


def test_an_old_section_is_refused_with_the_new_name_of_each_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("ranking: {k: 7, diversity: 0}\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"mine\.yaml.*key ranking\.k is rank\.k since 0\.2\.0; key ranking\.diversity"
    ):
        load_config([file])
    with pytest.raises(ConfigError, match=r"key ctr\.epochs is train_ctr\.epochs since 0\.2\.0"):
        load_config(overrides=["ctr.epochs=4"])


def test_keys_whose_part_another_has_taken_are_refused_with_it() -> None:
    for key, new in NEWER_KEYS.items():
        with pytest.raises(ConfigError, match=rf"key {key} is {new} since 0\.4\.0; see docs/migration\.md"):
            load_config(overrides=[f"{key}=1"])


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["als", "rank"], 8, "key als.rank is retrievers.als.rank since 0.2.0"),
        (["als"], {"rank": 8, "reg": 1}, "key als.reg is retrievers.als.reg since 0.2.0; see docs/migration.md"),
        (["popular"], {}, "key popular is retrievers.popular since"),
        (["popular"], {"k": 9}, "key popular.k is retrievers.popular.keep since"),
        (["candidates", "neighbors_k"], 5, "key candidates.neighbors_k is retrievers.neighbors.k since"),
        (["candidates", "weights"], {"als": 2}, "key candidates.weights.als is retrievers.als.weight since"),
        (["candidates", "recent_items"], 5, "is retrievers.neighbors.recent_items since"),
        (["train_ctr", "hidden"], [8], "key train_ctr.hidden is train_ctr.network.hidden since"),
        (["train_ctr", "model"], "deepfm", "key train_ctr.model is train_ctr.network.kind since"),
    ],
)
def test_a_moved_key_has_a_new_name(path: list[str], value: object, says: str) -> None:
    assert says in (moved(path, value) or "")


@pytest.mark.parametrize("path", [["alls"], ["train_ctr", "hiden"], ["candidates", "als_kk"], ["rank", "als"]])
def test_a_key_that_never_was_has_none(path: list[str]) -> None:
    assert moved(path, {"rank": 1}) is None


def _known(key: str) -> bool:
    here: object = Config()
    for name in key.removesuffix(".*").split("."):
        if not hasattr(here, name):
            return False
        here = getattr(here, name)
    return True


def test_a_key_that_is_gone_is_refused_with_its_new_name() -> None:
    for key in (key for key in KEYS if not _known(key)):
        old = key.replace("*", "als")
        with pytest.raises(
            ConfigError,
            match=r"is \w+(\.\S+)? since 0\.2\.0; see docs/migration\.md",
        ):
            load_config(overrides=[f"{old}=1"])
