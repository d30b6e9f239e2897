"""What somebody may put into a mapping to run code, to read a secret, or to make a run hang: all of it is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.conf import RuntimeConfig

from recsys.config import load_dataset
from recsys.environment import Environment
from recsys.errors import ConfigError
from recsys.ingest.dataset import Dataset
from recsys.ingest.expressions import referenced_columns
from recsys.ingest.given import given_values
from recsys.ingest.texts import check_texts
from recsys.spark import build_session
from tests.ingest.attacks import ATTACKS
from tests.ingest.support import EVENT_COLUMNS, dataset, source

COLUMNS = frozenset(["a", "n", "d"])
"""Columns of the source that is attacked."""

HARMLESS = frozenset(
    [
        r"'$\{env:RECSYS_PLANTED}'",
        "concat(a, '$', '{env:RECSYS_PLANTED}')",
        "cast(cast('nowhere' AS varchar(3)) AS date)",
    ]
)
"""Texts of the list that may pass, since they look worse than they are."""

PLANTED = "hunter2-planted"


def _refused(text: str) -> bool:
    """By the checker, or, as the readers do, because the source lacks a column."""
    try:
        return not referenced_columns(text) <= COLUMNS
    except ValueError:
        return True


@pytest.mark.fast
@pytest.mark.parametrize("text", ATTACKS, ids=[f"{at}: {text[:40]}" for at, text in enumerate(ATTACKS)])
def test_an_attack_is_refused_or_harmless(text: str) -> None:
    assert _refused(text) != (text in HARMLESS)


@pytest.mark.fast
def test_an_error_quotes_no_more_than_a_line_of_the_text() -> None:
    with pytest.raises(ValueError, match=r"has 30,000 characters; the limit is 10,000") as caught:
        referenced_columns("a" * 30_000)
    assert len(str(caught.value)) < 200


@pytest.mark.spark
def test_what_passes_gives_one_value_and_no_secret(spark: SparkSession) -> None:
    """One secret is a setting of the session, the other, PATH, is in the environment that the JVM shares with us."""
    spark.conf.set("spark.recsys.planted", PLANTED)
    passed = [text for text in ATTACKS if not _refused(text)]
    pure = [*passed, "'$' || a || '{spark:spark.recsys.planted}'", r"'$\{env:PATH}'", "a LIKE 'now'"]
    row = "SELECT 'x' AS a, 3 AS n, DATE '2024-05-01' AS d"
    frame = spark.sql(row)
    try:
        once, again = (frame.select(*map(F.expr, pure)).first() for _ in range(2))
    finally:
        spark.conf.unset("spark.recsys.planted")
    assert once is not None and once == again
    assert PLANTED not in str(once)
    assert os.environ["PATH"] not in str(once)
    assert len(passed) == len(HARMLESS)


@pytest.mark.spark
def test_a_session_replaces_no_variables(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.variable.substitute") == "false"
    assert spark.range(1).select(F.expr("'${system:java.version}'")).first() == ("${system:java.version}",)


@pytest.mark.spark
def test_a_session_that_keeps_its_settings_is_taken(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = type(spark.conf).set

    def refusing(conf: RuntimeConfig, key: str, value: str) -> None:
        if key == "spark.sql.variable.substitute":
            raise AnalysisException("CANNOT_MODIFY_CONFIG")
        kept(conf, key, value)

    monkeypatch.setattr(type(spark.conf), "set", refusing)
    settings = {"shuffle_partitions": 2, "checkpoint_dir": str(tmp_path)}
    assert build_session(Environment.model_validate({"spark": settings}), "tests") is spark


@pytest.mark.spark
def test_a_session_that_replaces_variables_gets_none(spark: SparkSession) -> None:
    """The checks hold without the setting, as in a session that somebody else keeps."""
    spark.conf.set("spark.sql.variable.substitute", "true")
    try:
        mapping = dataset(source(null_values=["$"], columns={**EVENT_COLUMNS, "item_id": {"expr": r"'$\{user}'"}}))
        names = dict.fromkeys(mapping.sources[0].source_columns(), "x")
        frame = spark.createDataFrame([{**names, "__raw": "", "__file": "", "__broken": False}])
        first = given_values(frame, mapping.sources[0]).first()
    finally:
        spark.conf.set("spark.sql.variable.substitute", "false")
    assert first is not None and first["__given_item_id"] == "${user}"


VARIABLE = "${env:HOME}"
ANYWHERE: list[tuple[str, dict[str, Any]]] = [
    ("null value", source(null_values=[VARIABLE])),
    ("column", source(columns={**EVENT_COLUMNS, "price": VARIABLE})),
    ("literal", source(columns={**EVENT_COLUMNS, "device": {"literal": VARIABLE}})),
    ("expression", source(columns={**EVENT_COLUMNS, "device": {"expr": f"concat(a, '{VARIABLE}')"}})),
    ("time pattern", source(columns={**EVENT_COLUMNS, "event_time": {"column": "t", "format": VARIABLE}})),
    ("attribute's name", source(attributes={VARIABLE: "city"})),
    ("attribute's column", source(attributes=[VARIABLE])),
    ("event type", source(event_types={VARIABLE: "view"})),
    ("ignored event type", source(ignore_event_types=[VARIABLE])),
    ("where", source(where=f"a = '{VARIABLE}'")),
    ("path", source(path=f"{VARIABLE}/x")),
    ("separator of fields", source(format={"type": "csv", "separator": VARIABLE[:8]})),
    ("separator of a list", source(columns={**EVENT_COLUMNS, "item_id": {"column": "i", "separator": VARIABLE[:8]}})),
    ("names", source(format={"type": "csv", "header": False, "names": [VARIABLE]})),
    ("encoding", source(format={"type": "csv", "encoding": VARIABLE})),
]


@pytest.mark.fast
@pytest.mark.parametrize("raw", [case[1] for case in ANYWHERE], ids=[case[0] for case in ANYWHERE])
def test_a_variable_is_refused_anywhere(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"holds \$\{, which Spark would replace by a variable"):
        dataset(raw)


@pytest.mark.fast
@pytest.mark.parametrize("where", [{"description": VARIABLE}, {"settings": {"rank": {"blocked_items": [VARIABLE]}}}])
def test_a_variable_is_refused_outside_of_sources_too(where: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"holds \$\{"):
        dataset(**where)


@pytest.mark.fast
@pytest.mark.parametrize(
    "raw",
    [
        source(columns={**EVENT_COLUMNS, "device": {"literal": "a\x00b"}}),
        source(null_values=["\x1b[31m"]),
        source(path="events\x07.json"),
        source(format={"type": "csv", "separator": "\x00"}),
        source(columns={**EVENT_COLUMNS, "event_time": {"column": "t", "format": "yyyy\u2028"}}),
        source(attributes={"a\x08": "city"}),
    ],
)
def test_control_characters_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="holds the control character U"):
        dataset(raw)


@pytest.mark.fast
def test_separators_may_be_control_characters() -> None:
    assert dataset(source(format={"type": "csv", "separator": "\x01"})).sources[0].format.separator == "\x01"


@pytest.mark.fast
@pytest.mark.parametrize("word", ["now", " Today ", "epoch", "YESTERDAY", "tomorrow UTC"])
def test_a_time_is_no_word_that_stands_for_one(word: str) -> None:
    with pytest.raises(ValidationError, match="differs from run to run"):
        dataset(source(columns={**EVENT_COLUMNS, "event_time": {"literal": word}}))
    assert dataset(source(columns={**EVENT_COLUMNS, "device": {"literal": word}}))


@pytest.mark.fast
@pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/localtime", "Europe/../UTC", "UTC'", ""])
def test_a_zone_is_a_name_and_no_path(zone: str) -> None:
    with pytest.raises(ValidationError, match="is not a time zone"):
        dataset(timezone=zone)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("rot13", "encoding 'rot13' is unknown"),
        ("idna", "encoding 'idna' is unknown"),
        ("unicode_escape", "encoding 'unicode_escape' is unknown"),
        ("../os", "encoding '../os' is unknown"),
        ("utf9", "did you mean UTF-8"),
        ("windows-1522", "did you mean windows-1252"),
    ],
)
def test_an_encoding_is_one_that_is_known(encoding: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        dataset(source(format={"type": "csv", "encoding": encoding}))
    assert says in str(caught.value)


@pytest.mark.fast
@pytest.mark.parametrize(
    "bomb",
    [
        "\n".join(["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 200)]),
        "\n".join(["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 200)]),
        "a: &a [*a]",
        "a: " + "[" * 5_000 + "]" * 5_000,
    ],
    ids=["lists", "merged keys", "itself", "depth"],
)
def test_aliases_cannot_blow_a_mapping_up(tmp_path: Path, bomb: str) -> None:
    file = tmp_path / "bomb.yaml"
    file.write_text(bomb, encoding="utf-8")
    with pytest.raises(ConfigError, match="check its YAML aliases"):
        load_dataset(file)


@pytest.mark.fast
def test_values_that_are_no_yaml_are_bounded_too() -> None:
    lists: Any = "x"
    for _ in range(40):
        lists = [lists, lists]
    with pytest.raises(ValueError, match="check its YAML aliases"):
        check_texts({"rank": lists})


@pytest.mark.spark
def test_a_separator_is_no_pattern(spark: SparkSession) -> None:
    listed = {"column": "items", "separator": r"\E.\Q"}
    mapping = Dataset.model_validate(
        {
            "name": "shop",
            "sources": [
                source(columns={**EVENT_COLUMNS, "item_id": listed}, explode=["item_id"]),
            ],
        }
    ).sources[0]
    values = dict.fromkeys(mapping.source_columns(), "x") | {"items": r"a\E.\Qbc"}
    frame = spark.createDataFrame([{**values, "__raw": "", "__file": "", "__broken": False}])
    first = given_values(frame, mapping).first()
    assert first is not None and first["__given_item_id"] == ["a", "bc"]
