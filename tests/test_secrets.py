"""A secret that is planted wherever one can stand shows up in nothing that is printed or stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys import progress
from recsys.config import Config, config_json, load_config
from recsys.errors import ConfigError, DataError, MissingData
from recsys.failures import translate
from recsys.ingest.dataset import Dataset, require_same_ids
from recsys.pipeline.flags import Flags, parse
from recsys.pipeline.job import Job
from recsys.pipeline.program import program
from recsys.secrets import masked, masked_text, names_secret
from tests.ingest.support import dataset, source

pytestmark = pytest.mark.fast

PLANTED = "hunter2"


@pytest.mark.parametrize(
    "key",
    [
        "fs.s3a.secret.key",
        "spark.hadoop.fs.s3a.access.key",
        "fs.azure.account.key.mine.dfs.core.windows.net",
        "fs.azure.account.oauth2.client.secret",
        "spark.hadoop.fs.s3a.session.token",
        "db.password",
        "javax.jdo.option.ConnectionPassword",
        "db_passwd",
        "PGPWD.pwd",
        "api_key",
        "apiKey",
        "aws_access_key_id",
        "credentials",
        "service.credential",
        "spark.authenticate.secret",
        "Authorization",
        "AccountKey",
        "SharedAccessSignature",
    ],
)
def test_keys_that_look_like_secrets(key: str) -> None:
    assert names_secret(key)
    assert masked({"outer": {key: PLANTED}}) == {"outer": {key: "***"}}
    assert masked({key: {"inner": [PLANTED, 7]}, "other": 7}) == {key: {"inner": ["***", "***"]}, "other": 7}
    for text in (f"{key}={PLANTED}", f"{key}: {PLANTED}", f'"{key}": "{PLANTED}"', f"--set x.{key}={PLANTED} more"):
        assert PLANTED not in masked_text(text)


@pytest.mark.parametrize("key", ["rank.k", "spark.sql.shuffle.partitions", "max_tokens", "key", "keys", "tokenizer"])
def test_keys_that_do_not(key: str) -> None:
    assert masked({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"s3a://KEY:{PLANTED}@bucket/a", "s3a://***@bucket/a"),
        (f"s3a://KEY:{PLANTED}/more+=@bucket/a", "s3a://***@bucket/a"),
        (f"at 's3n://KEY:{PLANTED}@bucket/a': denied", "at 's3n://***@bucket/a': denied"),
        (f"https://{PLANTED}@git.example/x", "https://***@git.example/x"),
        (f"ftp://u:a@{PLANTED}@host/x", "ftp://***@host/x"),
        (f"jdbc:postgresql://db:5432/x?user=me&password={PLANTED}", "jdbc:postgresql://db:5432/x?user=me&password=***"),
        (f"jdbc:sqlserver://db;user=me;password={PLANTED};x=1", "jdbc:sqlserver://db;user=me;password=***;x=1"),
        (f"https://a.blob/x?sv=1&sig={PLANTED}&se=2", "https://a.blob/x?sv=1&sig=***&se=2"),
        (f"https://a/x?X-Amz-Signature={PLANTED}", "https://a/x?X-Amz-Signature=***"),
        (f"Authorization: Bearer {PLANTED}", "Authorization: ***"),
        (f"DefaultEndpoints=https;AccountKey={PLANTED}==;x", "DefaultEndpoints=https;AccountKey=***;x"),
        ("abfss://box@mine.dfs.core.windows.net/raw", "abfss://box@mine.dfs.core.windows.net/raw"),
        ("hdfs://name:8020/a@b", "hdfs://name:8020/a@b"),
        ("user@example.com reads s3://bucket/a", "user@example.com reads s3://bucket/a"),
        ("key spark.conf.db.password: input should be text", "key spark.conf.db.password: input should be text"),
        ("a plain sentence; see --help", "a plain sentence; see --help"),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert masked_text(text) == shown
    assert masked_text(shown) == shown


URI = f"s3a://KEY:{PLANTED}@bucket/raw"
PLACES = [
    f"input.root={URI}",
    f"input.trusted_paths=['{URI}']",
    f"warehouse.path={URI}",
    f"spark.master=spark://u:{PLANTED}@host:7077",
    f"spark.checkpoint_dir={URI}",
    f"spark.jars_dir={URI}",
    f"spark.conf.fs.s3a.secret.key={PLANTED}",
    f"spark.conf.spark.harmless={PLANTED}",
    f"rank.blocked_items=['{URI}']",
]


@pytest.mark.parametrize("override", PLACES)
def test_what_is_stored_with_a_run_and_a_model_holds_none(override: str) -> None:
    stored = config_json(load_config(overrides=[override]))
    assert PLANTED not in stored
    assert json.loads(stored).keys() == set(Config.model_fields)


def test_neither_does_a_mapping_in_it(tmp_path: Path) -> None:
    stored = config_json(load_config(dataset=_mapping(tmp_path)))
    assert PLANTED not in stored


@pytest.mark.parametrize("override", PLACES)
def test_a_dry_run_prints_none(override: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    job = Job("demo", lambda context: None)
    job.main(["--dry-run", "--dataset", str(_mapping(tmp_path)), "--set", override])
    printed = capsys.readouterr().out
    assert "***" in printed
    assert PLANTED not in printed


def _mapping(folder: Path) -> Path:
    file = folder / "mine.yaml"
    secretive = source(path=URI, attributes={"password": {"literal": PLANTED}})
    file.write_text(yaml.safe_dump({"name": "mine", "sources": [secretive]}), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "error",
    [
        DataError(f"{URI} is empty"),
        MissingData(f"{URI} is missing", table="events"),
        ConfigError(f"fs.s3a.secret.key={PLANTED} is wrong"),
        ValueError(f"cannot open {URI}\nsecond line"),
        RuntimeError(f"java.sql.SQLException: jdbc:db://h/x?password={PLANTED}"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_last_words_hold_none(error: Exception, debug: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def body(flags: Flags, config: Config) -> None:
        raise error

    with pytest.raises(SystemExit):
        program("job", None, debug, body)
    printed = capsys.readouterr()
    assert "***" in printed.err
    assert PLANTED not in printed.err + printed.out


@pytest.mark.parametrize(
    "overrides",
    [
        [f"spark.conf.db.password:{PLANTED}"],
        [f"spark.conf={{db.password: [{PLANTED}]}}"],
        [f"spark.db_password={PLANTED}"],
        [f"spark.profile={URI}"],
        [f"warehouse.period={URI}"],
    ],
)
def test_a_wrong_override_is_not_quoted_with_its_secret(overrides: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    assert PLANTED not in str(caught.value)


def test_a_wrong_flag_is_not_either(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("job", None, [f"--db-password={PLANTED}"])
    assert PLANTED not in capsys.readouterr().err


def test_errors_of_spark_are_translated_without_it() -> None:
    known = translate(RuntimeError(f"[PATH_NOT_FOUND] Path does not exist: {URI}/x."))
    assert known is not None
    assert "s3a://***@bucket/raw/x" in str(known)


def test_steps_and_notes_hold_none(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.recording("job") as recorder, progress.step(f"read {URI}"):
        progress.note(f"source s: no files at {URI}")
    assert PLANTED not in capsys.readouterr().err + recorder.steps[0].name


def test_a_masked_mapping_is_still_the_same_one() -> None:
    now = dataset(source(path=URI, columns=_without_id(), attributes={"token": {"literal": "a"}}))
    stored: dict[str, Any] = masked({"dataset": now.model_dump(mode="json")})["dataset"]
    assert stored["sources"][0]["attributes"]["token"]["literal"] == "***"
    require_same_ids(now, stored)
    changed = Dataset.model_validate(now.model_dump() | {"timezone": "Europe/Berlin"})
    with pytest.raises(ConfigError, match="cleaned under another mapping"):
        require_same_ids(changed, stored)


def _without_id() -> dict[str, Any]:
    return {name: value for name, value in source()["columns"].items() if name != "event_id"}
