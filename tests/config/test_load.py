"""Resolving a config: layers in order, strict keys, one sentence for each mistake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from recsys.config import Config, config_hash, config_json, load_config, parse_as_of, stamp, version_of
from recsys.errors import ConfigError

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
    first = _file(tmp_path, "als: {rank: 8, reg: 0.5}\nctr: {hidden: [4, 2]}", "a.yaml")
    second = _file(tmp_path, "als: {rank: 16}\nctr: {hidden: [9]}", "b.yaml")
    config = load_config([first, second], overrides=["als.iterations=3"])
    assert (config.als.rank, config.als.reg, config.als.iterations, config.ctr.hidden) == (16, 0.5, 3, (9,))


def test_the_warehouse_may_be_named_by_its_directory_alone(tmp_path: Path) -> None:
    file = _file(tmp_path, "warehouse: {path: /a, period: month}")
    config = load_config([file], overrides=["warehouse=/b"])
    assert (config.warehouse.path, config.warehouse.period) == ("/b", "month")


def test_the_round_trip_through_json_changes_nothing() -> None:
    config = load_config(overrides=["als.rank=8", "signal.weights={purchase: 2}"])
    assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("als.rnk=8", "unknown key als.rnk; did you mean rank"),
        ("alls.rank=8", "unknown key alls; did you mean als"),
        ("als.rank=many", r"key als.rank: .*integer.*found 'many'"),
        ("als.rank=0", r"key als.rank: .*greater than or equal to 1"),
        ("clean.quarantine_limit=2", r"clean.quarantine_limit: .*less than or equal to 1"),
        ("spark.profile=moon", r"spark.profile: .*'local', 'cluster' or 'databricks'"),
        ("warehouse.catalog=a;b", r"warehouse.catalog: .*match pattern"),
        ("als", "expected key=value"),
        ("=3", "expected key=value"),
        ("als.rank=[1", "not valid YAML"),
        ("ctr.inputs=[{name: a, source: b, kind: numeric, transform: hash}]", "hash does not fit kind numeric"),
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
        ("als:\n  rank: [", r"c.yaml, line \d+: not valid YAML"),
        ("- a\n- b", r"c.yaml: expected keys and values at the top, found a list"),
        ("als: {rnk: 3}", r"c.yaml: unknown key als.rnk"),
        ("als: 3", r"c.yaml: key als: "),
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


def test_the_hash_ignores_where_a_run_happens() -> None:
    base = config_hash(load_config())
    assert config_hash(load_config(overrides=["spark.master=local[1]", "warehouse.path=/x", "input.root=/y"])) == base
    assert config_hash(load_config(overrides=["als.rank=8"])) != base


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
    name = version_of("als", instant, config.als)
    assert name.startswith("als-20180901T000000Z-")
    assert name == version_of("als", instant, load_config().als)
    assert name != version_of("als", instant, load_config(overrides=["als.rank=8"]).als)


def test_every_key_is_described() -> None:
    sections = {name: field.default for name, field in Config.model_fields.items() if name != "dataset"}
    bare = [f"{s}.{k}" for s, d in sections.items() for k, f in type(d).model_fields.items() if not f.description]
    assert bare == []
    assert set(yaml.safe_load((ROOT / "conf/base.yaml").read_text())) == set(sections)


@pytest.mark.parametrize(
    "override",
    ["spark.conf={fs.key: hunter2", "spark.conf={fs.key: [hunter2]}", "spark.cnf.fs.key=hunter2", "fs.key=hunter2"],
)
def test_a_refused_override_does_not_tell_its_value(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert "hunter2" not in str(caught.value)


def test_a_setting_of_spark_is_a_text_under_a_key_with_dots() -> None:
    config = load_config(overrides=["spark.conf.spark.hadoop.fs.s3a.path.style.access=true", "spark.conf.spark.x=1"])
    assert config.spark.conf == {"spark.hadoop.fs.s3a.path.style.access": "true", "spark.x": "1"}
