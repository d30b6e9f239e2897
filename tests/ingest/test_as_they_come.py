"""Files as people have them: odd numbers, bytes, spaces, types, names. Every row is kept, or refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession

from recsys.errors import DataError
from recsys.ingest.given import REASONS_TEXT, SOURCE_NAME
from recsys.ingest.repeats import content_hash
from recsys.ingest.rules import Bounds
from recsys.ingest.shape import shape
from tests.ingest.support import LONGEST_LIST, NOW, SETTINGS, dataset, opened, write

pytestmark = pytest.mark.spark

TIME = "2024-05-01T10:00:00Z"
COLUMNS: dict[str, Any] = {
    "user_id": "u",
    "item_id": "i",
    "event_type": {"literal": "view"},
    "event_time": {"literal": TIME},
}
ROOT = "c30 [2024] a=b@é"


def table(name: str, form: Any, path: str, columns: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "table": "events",
        "path": path,
        "format": form,
        "columns": {**COLUMNS, **(columns or {})},
        **changes,
    }


NUMBERS = [  # a line as it is; the user, or why there is none
    ('{"u": NaN, "i": "x"}', "missing:user_id"),
    ('{"u": -Infinity, "i": "x"}', "missing:user_id"),
    ('{"u": "nan", "i": "x"}', "missing:user_id"),
    ('{"u": "Nan", "i": "x"}', "Nan"),
    ('{"u": 7.0, "i": "x"}', "7"),
    ('{"u": "7.000", "i": "x"}', "7"),
    ('{"u": -0.0, "i": "x"}', "0"),
    ('{"u": 12345678.0, "i": "x"}', "12345678"),
    ('{"u": 12345678.5, "i": "x"}', "1.23456785E7"),
    ('{"u": 9007199254740993.0, "i": "x"}', "bad_type:user_id;missing:user_id"),
    ('{"u": "10.50", "i": "x"}', "10.50"),
    ('{"u": "007", "i": "x"}', "007"),
    ('{"u": "007.0", "i": "x"}', "007.0"),
    ('{"u": "1e3", "i": "x"}', "1e3"),
    ('{"u": 12345678901234567890, "i": "x"}', "12345678901234567890"),
    ('{"u": "12345678901234567890.0", "i": "x"}', "12345678901234567890"),
    ('{"u": "\u00a0\\tbob\u3000", "i": "x"}', "bob"),
    ('{"u": "\u200bbob\ufeff\u2060\u2003", "i": "x"}', "bob"),
    ('{"u": "\u3000\u200b", "i": "x"}', "missing:user_id"),
    ('\t{"u": "tab", "i": "x"},', "tab"),
    ('[{"u": "first", "i": "x"},', "first"),
    ('{"u": "last", "i": "x"}] ', "last"),
    ('{"u": "a", "i": "x"}{"u": "b", "i": "x"}', "broken_record"),
    ('{"u": "a", "i": "x"},{"u": "b", "i": "x"}', "broken_record"),
    ('{"u": "}{", "i": {"n": NaN}}', "}{"),
    ('{"u": "half", "i": "x"', "broken_record"),
]
LISTS = '{"u": "u1", "lines": [{"sku": "a", "p": {"net": 1.5}}, {"sku": "b", "p": {"net": 2}}]}\n'
TIMES = [("2024-05", "bad_time:event_time"), ("2024", "bad_time:event_time"), ("2024-05-07", "2024-05-07 00:00:00")]
UUID = "12345678-1234-5678-9234-567812345678"
REFUSED = f"""
SELECT '\\x20bob '::BLOB AS u, 7::DECIMAL(38, 10) AS i, '2024-05-01 10:00:00.123456789'::TIMESTAMP_NS AS t,
       '{UUID}'::UUID AS s, 'a' AS _metadata, 'x' AS "user", TIME '01:02:03' AS unmapped, NULL::INTERVAL AS span
UNION ALL SELECT '\\xFF\\xFE'::BLOB, 0.5, '1969-12-31 23:59:59.999999999', '{UUID}', 'b', 'y', NULL, INTERVAL 1 DAY
"""
"""Bytes, nanoseconds, a UUID, a time of day, an interval, and columns with names that are taken."""


def write_all(root: Path) -> list[dict[str, Any]]:
    """Write a file of each kind below the root and return the sources that read them."""
    write(root, "n.json", "[\n" + "".join(line + "\n" for line, _ in NUMBERS) + "]\n")
    write(root, "w.json", '{"u": "1.0", "i": "NaN"}\n')
    write(root, "l.json", LISTS)
    write(root, "late.json", '{"u": "u1", "i": "x", "prices": 1}\n' * 510 + '{"u": "late", "i": "x", "price": 2.5}\n')
    write(root, "t.json", "".join(f'{{"u": "{text}", "i": "x"}}\n' for text, _ in TIMES))
    write(root, "more/1.csv", "u,i\nu1,x\n")
    write(root, "more/2.csv", "u,price,i\nu2,2.5,x\n")
    write(root, "wide.csv", "u\ti\nJos\u00e9\t\u00e9\n", encoding="utf-16")
    write(root, "a[1].csv", "u,i\nbrackets,x\n")
    write(root, "d/2024-05-01T10:00:00.csv", "u,i\ncolons,x\n")
    write(root, "e/k=1/a=b@é.csv", "u,i\nkeyed,x\n")
    write(root, "e/plain/b.csv", "u,i\nplain,x\n")
    duckdb.sql(f"COPY ({REFUSED}) TO '{root}/p.parquet'")
    pq.write_table(pa.table({"u": [7.0, 2.0**53], "i": ["x", "x"]}), write(root, "q/1.parquet", b""))
    pq.write_table(pa.table({"u": [b"", b"8"], "i": [7, 8], "price": [1.0, 2.0]}), write(root, "q/2.parquet", b""))
    pq.write_table(pa.table({"u": ["u1"], "lines": [[{"sku": 7.0, "p": {"net": 1.5}}]]}), write(root, "l.parquet", b""))
    lines = {"item_id": {"column": "lines", "field": "sku"}, "price": {"column": "lines", "field": "p.net"}}
    price = {"price": "price"}
    return [
        table("numbers", "json", "n.json"),
        table("written", "json", "w.json", {n: {"column": n[0], "as_written": True} for n in ("user_id", "item_id")}),
        table("objects", "json", "l.json", lines, explode=["item_id", "price"]),
        table("structures", "parquet", "l.parquet", lines, explode=["item_id", "price"]),
        table("late", "json", "late.json", price),
        table("times", "json", "t.json", {"event_time": "u"}),
        table("more", "csv", "more", price),
        table("wide", {"type": "csv", "separator": "\t"}, "wide.csv"),
        table("brackets", "csv", "a[1].csv"),
        table("colons", "csv", "d/*T*.{csv,tsv}"),
        table("keys", "csv", "e"),
        table("types", "parquet", "p.parquet", {"event_time": "t", "session_id": "s", "device": "user"}),
        table("mixed", "parquet", "q", price),
    ]


@pytest.fixture(scope="module")
def rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """All of them mapped at once, by source."""
    root = tmp_path_factory.mktemp("raw") / ROOT
    mapping = dataset(*write_all(root))
    bounds = Bounds.of(SETTINGS, now=NOW, max_list_length=LONGEST_LIST)
    found: dict[str, list[Row]] = {}
    for one in shape(opened(spark, mapping, root).frames, timezone="UTC", bounds=bounds):
        for row in one.frame.collect():
            found.setdefault(row[SOURCE_NAME], []).append(row)
    return found


def told(rows: list[Row], *names: str) -> list[Any]:
    """The values of clean rows, the reasons of others."""
    return [
        row[REASONS_TEXT] or (row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)) for row in rows
    ]


def test_ids_of_numbers_and_spaces(rows: dict[str, list[Row]]) -> None:
    assert told(rows["numbers"], "user_id") == [answer for _, answer in NUMBERS]


def test_ids_as_written(rows: dict[str, list[Row]]) -> None:
    assert told(rows["written"], "user_id", "item_id") == [("1.0", "NaN")]


@pytest.mark.parametrize(
    ("source", "expected"), [("objects", (["a", "b"], [1.5, 2.0])), ("structures", (["7"], [1.5]))]
)
def test_fields_of_listed_objects(rows: dict[str, list[Row]], source: str, expected: Any) -> None:
    assert told(rows[source], "item_id", "price") == [expected]


def test_a_key_that_comes_late(rows: dict[str, list[Row]]) -> None:
    assert [row["price"] for row in rows["late"] if row["user_id"] == "late"] == [2.5]


def test_half_a_date_is_no_time(rows: dict[str, list[Row]]) -> None:
    assert [str(one) for one in told(rows["times"], "event_time")] == [answer for _, answer in TIMES]


def test_a_column_of_later_files(rows: dict[str, list[Row]]) -> None:
    assert sorted(told(rows["more"], "user_id", "price")) == [("u1", None), ("u2", 2.5)]


def test_a_byte_order_mark_tells_the_encoding(rows: dict[str, list[Row]]) -> None:
    assert told(rows["wide"], "user_id", "item_id") == [("José", "é")]


@pytest.mark.parametrize(
    ("source", "users"), [("brackets", ["brackets"]), ("colons", ["colons"]), ("keys", ["keyed", "plain"])]
)
def test_names_of_files(rows: dict[str, list[Row]], source: str, users: list[str]) -> None:
    assert sorted(told(rows[source], "user_id")) == users


def test_types_that_spark_refuses(rows: dict[str, list[Row]]) -> None:
    first = rows["types"][0]
    assert told(rows["types"], "user_id", "item_id") == [("bob", "7"), "bad_encoding:user_id;ancient_time"]
    assert (first["event_time"], first["session_id"], first["device"]) == (
        datetime(2024, 5, 1, 10, 0, 0, 123456),
        UUID,
        "x",
    )


def test_one_column_with_many_types(rows: dict[str, list[Row]]) -> None:
    assert sorted(map(str, told(rows["mixed"], "user_id", "item_id", "price"))) == [
        "('7', 'x', None)",
        "('8', '8', 2.0)",
        "bad_type:user_id;missing:user_id",
        "missing:user_id",
    ]


def test_a_similar_key_that_never_comes_is_a_mistake(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "e.json", '{"u": "u1", "i": "x", "prices": 1}\n')
    with pytest.raises(DataError, match="did you mean prices"):
        opened(spark, dataset(table("e", "json", "e.json", {"price": "price"})), tmp_path)


def test_names_that_differ_in_case_alone(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "e.json", '{"u": "u1", "U": "x"}\n')
    with pytest.raises(DataError, match=r"U and u .*spark\.sql\.caseSensitive"):
        opened(spark, dataset(table("e", "json", "e.json", {"item_id": "U"})), tmp_path)


def test_hashes_tell_values_with_marks_apart(spark: SparkSession) -> None:
    pairs = [
        ("a", "b"),
        ("a\x01b", ""),
        ("a", "\x01b"),
        ("a\x03", "\x01b"),
        (None, "b"),
        ("\x02", "b"),
        ("a\x03\x01", "b"),
    ]
    frame = spark.createDataFrame(pairs, "l string, r string")
    hashes = [row["h"] for row in frame.select(content_hash(frame, ["l", "r"]).alias("h")).collect()]
    assert len(set(hashes)) == len(pairs)
    # What holds no mark keeps the hash that it has in warehouses.
    assert hashes[0] == hashlib.sha256(b"a\x01b").hexdigest()[:32]


def test_times_far_away_can_be_read_elsewhere(spark: SparkSession, tmp_path: Path) -> None:
    far = [datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1)]
    text = spark.createDataFrame([(str(time),) for time in far], "t string").selectExpr("CAST(t AS TIMESTAMP) AS t")
    text.coalesce(1).write.parquet(str(tmp_path / "t"))
    column = pq.read_table(tmp_path / "t")["t"]
    assert column.type == pa.timestamp("us", "UTC")
    assert sorted(column.to_pylist()) == [far[1].replace(tzinfo=UTC), far[0].replace(tzinfo=UTC)]
