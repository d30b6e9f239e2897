"""Where a mapping may read: below input.root, and where input.trusted_paths says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from recsys.errors import ConfigError
from recsys.ingest.places import require_covered, require_inside, resolved
from recsys.ingest.sources import fingerprint, read_batch
from recsys.store.files import list_files
from tests.ingest.support import dataset, event, lines, opened, source, write


@pytest.mark.fast
@pytest.mark.parametrize(
    "path",
    ["events.json", "a/b/*.json", "2024-0[1-6]/{a,b}.csv", "a..b/c", "...", "day=1/x%20y.csv", "a:b", "{a,b/c}/d"],
)
def test_a_path_below_the_root_stays_as_it_is(path: str) -> None:
    assert resolved("s", path, root="/raw/", trusted=()) == f"/raw/{path}"


@pytest.mark.fast
@pytest.mark.parametrize(
    "path",
    [
        "../secret.csv",
        "a/../../secret.csv",
        "a/..",
        "..",
        "a/../b",
        "/etc/passwd",
        "//etc/passwd",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "s3://bucket/x",
        "s3a://KEY:SECRET@bucket/x",
        "hdfs://name:8020/x",
        "http://example.com/x.csv",
        "{../secret,a}.csv",
        "{a,..}/secret.csv",
        "{a,b/../..}/secret.csv",
        ".{./secret,a}",
        "{.,a}{./secret,b}",
        "{{a,.},b}{./x,c}",
        "[.][.]/secret.csv",
        ".[.]/secret.csv",
        "%2e%2e/secret.csv",
        "%2E./secret.csv",
        ".. /secret.csv",
        "{/etc/passwd,a}",
        "{file:/etc/passwd,a}",
    ],
)
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"source logs: path .* is outside of input.root; .*input.trusted_paths"):
        resolved("logs", path, root="/raw", trusted=())


@pytest.mark.fast
@pytest.mark.parametrize(
    ("path", "says"),
    [
        (r"a/\.\./secret.csv", "holds a backslash"),
        ("{a,b", "without its partner"),
        ("{1,2,3,4,5,6,7,8,9,0}" * 4, "more than 1000 alternatives"),
    ],
)
def test_a_path_that_cannot_be_judged_is_refused(path: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"source logs: path .*{says}"):
        resolved("logs", path, root="/raw", trusted=())


@pytest.mark.fast
@pytest.mark.parametrize(
    ("path", "trusted", "allowed"),
    [
        ("/data/a/x.csv", "/data/a", True),
        ("/data/a", "/data/a/", True),
        ("/data/ab/x.csv", "/data/a", False),
        ("/data/a/../b/x.csv", "/data/a", False),
        ("/data/{a/x,b/y}", "/data/a", False),
        ("/data/{a/x,a/y}", "/data/a", True),
        ("s3://logs/2024/x.csv", "s3://logs/2024", True),
        ("s3://logs/2025/x.csv", "s3://logs/2024", False),
        ("s3://KEY:SECRET@logs/2024/x.csv", "s3://logs", False),
        ("s3a://logs/x.csv", "s3://logs", False),
        ("file:///data/a/x.csv", "file:/data/a", True),
        ("/data/a/x.csv", "file:/data/a", False),
        ("../shared/x.csv", "/shared", True),
        ("../shared/../etc/x.csv", "/shared", False),
        ("/x%2F..%2Fdata/f.csv", "/data", False),
    ],
)
def test_trusted_places_are_allowed_with_all_that_is_below(path: str, trusted: str, allowed: bool) -> None:
    try:
        resolved("logs", path, root="/raw", trusted=[trusted])
    except ConfigError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.fast
def test_links_are_followed_on_local_file_systems_alone(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    (tmp_path / "raw/link").symlink_to(tmp_path / "secret")
    (tmp_path / "raw/within").symlink_to(tmp_path / "raw/plain")
    (tmp_path / "raw/plain").write_text("x", encoding="utf-8")
    root, link = str(tmp_path / "raw"), f"file:{tmp_path}/raw/link"
    require_inside("s", "x", [f"file:{root}/plain", f"{root}/within", "s3://bucket/x"], root=root)
    require_inside("s", "x", [link], root=root, trusted=[str(tmp_path)])
    for place in (root, f"file://{root}"):
        with pytest.raises(ConfigError, match=r"source s: path x leads to .*secret, which is outside of input.root"):
            require_inside("s", "x", [link], root=place)


@pytest.mark.fast
def test_files_of_a_table_lie_in_it() -> None:
    require_covered("s", "t", ["file:///raw/my%20t/a.parquet"], table="file:/raw/my t")
    for elsewhere in ("file:///raw/other/a.parquet", "file:///raw/t/../other/a.parquet", "s3://b/t/a.parquet"):
        with pytest.raises(ConfigError, match=r"source s: path t lists .*, which is outside of input.root"):
            require_covered("s", "t", [elsewhere], table="file:/raw/t")


@pytest.mark.spark
@pytest.mark.parametrize("how", ["a link to a file", "a link to a directory", "a glob over a link"])
def test_a_batch_with_a_link_out_of_the_root_is_refused(spark: SparkSession, tmp_path: Path, how: str) -> None:
    write(tmp_path, "outside/events.json", lines([event()]))
    write(tmp_path, "raw/in/events.json", lines([event(id="e2")]))
    linked, aim, path = {
        "a link to a file": ("in/more.json", "outside/events.json", "in"),
        "a link to a directory": ("out", "outside", "out"),
        "a glob over a link": ("out", "outside", "{in,out}/*.json"),
    }[how]
    (tmp_path / "raw" / linked).symlink_to(tmp_path / aim)
    mapping = dataset(source(path=path))
    with pytest.raises(ConfigError, match=r"source actions: path .* leads to .*outside/events.json, which"):
        opened(spark, mapping, tmp_path / "raw")
    trusted = [str(tmp_path / "outside")]
    batch = read_batch(spark, mapping, root=str(tmp_path / "raw"), list_files=list_files, trusted=trusted)
    assert "e1" in {row["id"] for row in batch.frames[0][1].collect()}


@pytest.mark.spark
def test_a_table_whose_log_names_files_elsewhere_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    other, mine = tmp_path / "other", tmp_path / "raw/t"
    frame = spark.createDataFrame([event()])
    frame.write.format("delta").save(str(other))
    frame.write.format("delta").save(str(mine))
    mapping = dataset(source(path="t", format="delta"))
    assert opened(spark, mapping, tmp_path / "raw").frames
    (log,) = (mine / "_delta_log").glob("*0.json")
    stranger = next(iter(other.glob("*.parquet")))
    actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    for action in actions:
        if "add" in action:
            action["add"] |= {"path": stranger.as_uri(), "size": stranger.stat().st_size}
    copy = tmp_path / "raw/copy/_delta_log"
    copy.mkdir(parents=True)
    (copy / log.name).write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"source actions: path copy lists .*other.*, which is outside of input.root"):
        opened(spark, dataset(source(path="copy", format="delta")), tmp_path / "raw")


@pytest.mark.spark
def test_a_refused_path_has_no_fingerprint(spark: SparkSession, tmp_path: Path) -> None:
    assert fingerprint(spark, dataset(source(path="../x")), root=str(tmp_path), list_files=list_files) == ""
