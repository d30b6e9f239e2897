"""Resolving a config: layers in order, strict keys, one sentence for each mistake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from recsys.config import Config, config_json, load_config, parse_as_of, stamp, version_of
from recsys.errors import ConfigError
from recsys.retrieval.registry import defaults

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]


def _file(folder: Path, text: str, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_base_yaml_holds_exactly_the_defaults() -> None:
    assert load_config([ROOT / "conf/base.yaml"]) == Config()


@pytest.mark.parametrize("name", ["local", "cluster", "databricks"])
def test_every_overlay_is_valid(name: str) -> None:
    assert load_config([ROOT / f"conf/{name}.yaml"]).spark.profile == name


def test_later_layers_win_and_lists_are_replaced(tmp_path: Path) -> None:
    first = _file(tmp_path, "rank: {k: 8, diversity: 0.5}\nevaluate: {ks: [4, 2]}", "a.yaml")
    second = _file(tmp_path, "rank: {k: 16}\nevaluate: {ks: [9]}", "b.yaml")
    config = load_config([first, second], overrides=["rank.batch_size=3"])
    assert (config.rank.k, config.rank.diversity, config.rank.batch_size, config.evaluate.ks) == (16, 0.5, 3, (9,))


def test_the_warehouse_may_be_named_by_its_directory_alone(tmp_path: Path) -> None:
    file = _file(tmp_path, "warehouse: {path: /a, period: month}")
    config = load_config([file], overrides=["warehouse=/b"])
    assert (config.warehouse.path, config.warehouse.period) == ("/b", "month")


def test_the_round_trip_through_json_changes_nothing() -> None:
    config = load_config(overrides=["rank.k=8", "signal.weights={purchase: 2}"])
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rank.divers=8", "unknown key rank.divers; did you mean diversity"),
        ("signl.use_value=no", "unknown key signl; did you mean signal"),
        ("rank.k=many", r"key rank.k: .*integer.*found 'many'"),
        ("rank.k=0", r"key rank.k: .*greater than or equal to 1"),
        ("clean.quarantine_limit=2", r"clean.quarantine_limit: .*less than or equal to 1"),
        ("spark.profile=moon", r"spark.profile: .*'local', 'cluster' or 'databricks'"),
        ("warehouse.catalog=a;b", r"warehouse.catalog: .*match pattern"),
        ("rank", "expected key=value"),
        ("=3", "expected key=value"),
        ("rank.k=[1", "not valid YAML"),
        ("train_ctr.inputs=[{name: a, source: b, kind: numeric, transform: hash}]", "hash does not fit kind numeric"),
        ("dataset={name: x}", "--dataset FILE"),
    ],
)
def test_a_wrong_override_is_one_sentence(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(overrides=[override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rank:\n  k: [", r"c.yaml, line \d+: not valid YAML"),
        ("- a\n- b", r"c.yaml: expected keys and values at the top, found a list"),
        ("rank: {kk: 3}", r"c.yaml: unknown key rank.kk"),
        ("rank: 3", r"c.yaml: key rank: "),
        ("a: !!python/object/apply:os.system ['true']", r"c.yaml, line \d+: not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config([_file(tmp_path, text)])


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such file"):
        load_config([tmp_path / "nowhere.yaml"])
    binary = tmp_path / "c.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"can't be read as text"):
        load_config([binary])


def test_secrets_in_spark_settings_are_not_stored() -> None:
    config = load_config(overrides=["spark.conf={fs.s3a.secret.key: hunter2}"])
    assert "hunter2" not in config_json(config)
    assert "fs.s3a.secret.key" in config_json(config)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2018-09-01", datetime(2018, 9, 1, tzinfo=UTC)),
        ("2018-09-01T13:30:00Z", datetime(2018, 9, 1, 13, 30, tzinfo=UTC)),
        ("2018-09-01T13:30:00+02:00", datetime(2018, 9, 1, 11, 30, tzinfo=UTC)),
    ],
)
def test_as_of_is_utc(text: str, instant: datetime) -> None:
    assert parse_as_of(text) == instant


def test_a_wrong_as_of_shows_the_form() -> None:
    with pytest.raises(ConfigError, match="1 September: not a date or an instant"):
        parse_as_of("1 September")


def test_versions_follow_instant_and_settings() -> None:
    instant = datetime(2018, 9, 1, tzinfo=UTC)
    config = load_config()
    assert stamp(instant) == "20180901T000000Z"
    name = version_of("ctr", instant, config.train_ctr)
    assert name.startswith("ctr-20180901T000000Z-")
    assert name == version_of("ctr", instant, load_config().train_ctr)
    assert name != version_of("ctr", instant, load_config(overrides=["train_ctr.epochs=9"]).train_ctr)


def test_every_key_is_described() -> None:
    sections = {name: field.default for name, field in Config.model_fields.items() if name != "dataset"}
    del sections["retrievers"]
    described = {**sections, **{f"retrievers.{one.name}": one for one in defaults()}}
    bare = [f"{s}.{k}" for s, d in described.items() for k, f in type(d).model_fields.items() if not f.description]
    assert bare == []
    assert set(yaml.safe_load((ROOT / "conf/base.yaml").read_text())) == {*sections, "retrievers"}


@pytest.mark.parametrize(
    "override",
    ["spark.conf={fs.key: hunter2", "spark.conf={fs.key: [hunter2]}", "spark.cnf.fs.key=hunter2", "fs.key=hunter2"],
)
def test_a_refused_override_does_not_show_its_value(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert "hunter2" not in str(caught.value)


def test_a_spark_setting_is_a_string_under_a_key_with_dots() -> None:
    config = load_config(overrides=["spark.conf.spark.hadoop.fs.s3a.path.style.access=true", "spark.conf.spark.x=1"])
    assert config.spark.conf == {"spark.hadoop.fs.s3a.path.style.access": "true", "spark.x": "1"}
