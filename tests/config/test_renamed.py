"""Keys of 0.1.0: renamed sections are accepted with a note, moved keys are refused with their new name."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.config import Config, load_config
from recsys.config.renamed import KEYS, SECTIONS, moved
from recsys.errors import ConfigError

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]


def test_an_old_section_is_taken_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("ranking: {k: 7}\nevaluation: {ks: [3]}\n", encoding="utf-8")
    config = load_config([file], overrides=["examples.shards=2", "ctr.epochs=4"])
    assert (config.rank.k, config.evaluate.ks) == (7, (3,))
    assert (config.ctr_examples.shards, config.train_ctr.epochs) == (2, 4)
    notes = capsys.readouterr().err
    assert f"ranking is called rank since 0.2.0; rename it in {file}" in notes
    assert "ctr is called train_ctr since 0.2.0; rename it in --set ctr.epochs" in notes
    assert notes.count("since 0.2.0") == 4


def test_the_settings_of_a_dataset_may_have_old_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mapping = (ROOT / "conf/datasets/synthetic-shop.yaml").read_text(encoding="utf-8")
    head, _, _ = mapping.partition("\nsettings:")
    file = tmp_path / "shop.yaml"
    file.write_text(f"{head}\nsettings:\n  ranking: {{k: 7}}\n", encoding="utf-8")
    assert load_config(dataset=file).rank.k == 7
    assert f"rename it in {file}, settings" in capsys.readouterr().err


def test_a_later_layer_wins_under_either_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("rank: {k: 7, diversity: 0}\n", encoding="utf-8")
    config = load_config([file], overrides=["ranking.k=9"])
    assert (config.rank.k, config.rank.diversity) == (9, 0)


def test_both_names_in_one_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("ranking: {k: 7}\nrank: {k: 8}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="mine.yaml: ranking is called rank since 0.2.0, and both are there"):
        load_config([file])


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
        with pytest.raises(ConfigError, match=r"is (retrievers|train_ctr)\..* since 0\.2\.0; see docs/migration\.md"):
            load_config(overrides=[f"{old}=1"])


def test_the_new_names_are_sections() -> None:
    assert set(SECTIONS.values()) <= set(Config.model_fields)
    assert not set(SECTIONS) & set(Config.model_fields)
