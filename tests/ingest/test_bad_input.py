"""Whatever is wrong with a path, a file, a column or too many rows: exit 2 or 3, and one sentence that names it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.errors import ConfigError, DataError, RecsysError
from recsys.failures import translate
from recsys.ingest.rules import Bounds
from recsys.ingest.settings import CleanSettings
from tests.ingest.support import EVENT_COLUMNS, NOW, clean, dataset, event, lines, opened, source, write

pytestmark = pytest.mark.spark

HEADER = "id,user,item,type,time,qty,price,session,step\n"
ROW = "e{0},u1,i1,view,2024-05-01T10:00:00Z,1,2.5,s1,1\n"
MANY = "".join(ROW.format(k) for k in range(2000))


def put(name: str, content: str | bytes, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda root: write(root, name, content, encoding=encoding)


def both(*makers: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [make(root) for make in makers]


def cut_gzip(name: str, content: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        whole = gzip.compress(content.encode(), mtime=0)
        (root / name).write_bytes(whole[: len(whole) // 2])

    return make


def spoilt_gzip(name: str, content: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        whole = bytearray(gzip.compress(content.encode(), mtime=0))
        middle = len(whole) // 2
        whole[middle : middle + 64] = bytes(64)
        (root / name).write_bytes(whole)

    return make


def raw(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(content)


def table(name: str, columns: dict[str, Any]) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), root / name)

    return make


def csv(**changes: Any) -> dict[str, Any]:
    return source(path="e.csv", format="csv", **changes)


def columns(**changes: Any) -> dict[str, Any]:
    return {**EVENT_COLUMNS, **changes}


TYPED = {
    "user": ["u1"],
    "item": ["i1"],
    "type": ["view"],
    "time": [1714557600],
    "id": ["e"],
    "qty": [1],
    "price": [1.0],
    "session": ["s"],
    "step": [1],
}
CASES: list[tuple[str, dict[str, Any], Callable[[Path], object], type[RecsysError], list[str]]] = [
    ("no file", source(), put("other.json", "{}\n"), DataError, ["no file matches", "events.json", "input.root"]),
    ("no match", source(path="*/e.json"), put("e.json", "{}\n"), DataError, ["no file matches", "*/e.json"]),
    ("only hidden files", source(path="d"), put("d/_e.json", lines([event()])), DataError, ["no file matches", "/d"]),
    ("unknown file system", source(path="nowhere://x/e.json"), put("a", ""), ConfigError, ["nowhere"]),
    ("zero bytes", source(), put("events.json", ""), DataError, ["events.json", "is empty"]),
    ("blank lines", source(), put("events.json", "\n  \n\n"), DataError, ["source actions", "holds no row"]),
    ("header alone", csv(), put("e.csv", HEADER), DataError, ["e.csv", "holds no row"]),
    (
        "missing column",
        csv(columns=columns(price="amount")),
        put("e.csv", HEADER + MANY),
        DataError,
        ["source actions", "column amount", "it has id, item, price"],
    ),
    (
        "close column",
        csv(columns=columns(price="prices")),
        put("e.csv", HEADER + MANY),
        DataError,
        ["column prices", "did you mean price?"],
    ),
    (
        "other case",
        csv(columns=columns(item_id="ITEM")),
        put("e.csv", HEADER + MANY),
        DataError,
        ["column ITEM", "did you mean item?"],
    ),
    (
        "column of an expression",
        csv(where="prise > 0"),
        put("e.csv", HEADER + MANY),
        DataError,
        ["column prise", "price?"],
    ),
    (
        "mistyped key",
        source(columns=columns(price="prise")),
        put("events.json", lines([event()])),
        DataError,
        ["column prise", "did you mean price?"],
    ),
    ("wrong separator", csv(), put("e.csv", (HEADER + MANY).replace(",", ";")), DataError, ["e.csv", "it has id;user"]),
    ("json for csv", csv(), put("e.csv", lines([event()])), DataError, ["e.csv", "looks like JSON", "format: json"]),
    (
        "csv for json",
        source(),
        put("events.json", HEADER + MANY),
        DataError,
        ["events", "100%", "clean.quarantine_limit", "broken_record in 2,001", "events.json"],
    ),
    (
        "cut gzip json",
        source(path="e.json.gz"),
        cut_gzip("e.json.gz", lines(event(id=str(k)) for k in range(9000))),
        DataError,
        ["e.json.gz", "cut short"],
    ),
    (
        "cut gzip csv",
        source(path="e.csv.gz", format="csv"),
        cut_gzip("e.csv.gz", HEADER + MANY),
        DataError,
        ["e.csv.gz", "cut short"],
    ),
    (
        "one cut gzip of three",
        source(path="*.json.gz"),
        both(
            put("a.json.gz", lines(event(id=f"a{k}") for k in range(900))),
            cut_gzip("b.json.gz", lines(event(id=f"b{k}") for k in range(9000))),
            put("c.json.gz", lines(event(id=f"c{k}") for k in range(900))),
        ),
        DataError,
        ["b.json.gz", "cut short"],
    ),
    (
        "damaged gzip of two",
        source(path="*.csv.gz", format="csv"),
        both(put("a.csv.gz", HEADER + MANY), spoilt_gzip("b.csv.gz", HEADER + MANY)),
        DataError,
        ["b.csv.gz", "can't be decompressed"],
    ),
    (
        "no gzip",
        source(path="e.json.gz"),
        raw("e.json.gz", lines([event()]).encode()),
        DataError,
        ["e.json.gz", "can't be decompressed"],
    ),
    (
        "no parquet",
        source(path="e.parquet", format="parquet"),
        raw("e.parquet", MANY.encode()),
        DataError,
        ["e.parquet", "is not a Parquet file"],
    ),
    (
        "short parquet",
        source(path="e.parquet", format="parquet"),
        raw("e.parquet", b"PAR1"),
        DataError,
        ["e.parquet", "is not a Parquet file"],
    ),
    (
        "parquet column",
        source(path="e.parquet", format="parquet"),
        table("e.parquet", {k: v for k, v in TYPED.items() if k != "item"}),
        DataError,
        ["column item", "e.parquet"],
    ),
    (
        "number as a time",
        source(path="e.parquet", format="parquet"),
        table("e.parquet", TYPED),
        ConfigError,
        ["event_time", "bigint", "unix_s"],
    ),
    (
        "no list",
        source(path="e.parquet", format="parquet", explode=["item_id"]),
        table("e.parquet", TYPED),
        ConfigError,
        ["item_id", "expects a list", "separator"],
    ),
    ("no delta", source(path="e.json", format="delta"), put("e.json", lines([event()])), DataError, ["e.json"]),
    (
        "other header",
        source(path="d", format="csv"),
        both(put("d/1.csv", HEADER + MANY), put("d/2.csv", HEADER.replace("user", "visitor") + MANY)),
        DataError,
        ["2.csv", "different header"],
    ),
    (
        "latin-1 as utf-8",
        csv(),
        put("e.csv", HEADER + MANY.replace("i1", "é1"), "latin-1"),
        DataError,
        ["bad_encoding:item_id in 2,000", "e.csv", "clean.quarantine_limit"],
    ),
    ("too few fields", csv(), put("e.csv", HEADER + MANY.replace(",s1,1", "")), DataError, ["broken_record in 2,000"]),
    (
        "times in another format",
        csv(),
        put("e.csv", HEADER + MANY.replace("2024-05-01T", "01.05.2024 ")),
        DataError,
        ["bad_time:event_time in 2,000", "e.csv", "100%"],
    ),
    (
        "too many duplicates",
        csv(),
        put("e.csv", HEADER + ROW.format(1) * 30),
        DataError,
        ["duplicate_row in 29", "clean.duplicate_limit 50%"],
    ),
    (
        "nothing left",
        csv(where="price > 1000"),
        put("e.csv", HEADER + MANY),
        DataError,
        ["every one of 2,000 rows", "where"],
    ),
    ("where of a wrong type", csv(where="price"), put("e.csv", HEADER + MANY), ConfigError, ["source actions"]),
    (
        "wrong arguments",
        csv(columns=columns(price={"expr": "map_keys(price)"})),
        put("e.csv", HEADER + MANY),
        ConfigError,
        ["source actions, price", "map_keys(price)"],
    ),
]


@pytest.mark.parametrize(
    ("mapping", "make", "kind", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_input(
    spark: SparkSession, tmp_path: Path, mapping: Any, make: Any, kind: type[RecsysError], says: list[str]
) -> None:
    make(tmp_path)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - Spark's own errors are translated below, as the runner does
        clean(spark, dataset(mapping), tmp_path, limits=(0.05, 0.5))
    error = translate(caught.value)
    assert type(error) is kind, repr(caught.value)
    assert kind.exit_code in (2, 3)
    sentence = str(error)
    assert "\n" not in sentence
    for part in says:
        assert part in sentence, sentence


def test_optional_sources_may_be_missing(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "events.json", lines([event()]))
    goods = {"name": "goods", "table": "items", "path": "g.csv", "format": "csv", "columns": {"item_id": "sku"}}
    found = clean(spark, dataset(source(), goods | {"optional": True}), tmp_path)
    assert list(found.tables) == ["events"]
    with pytest.raises(DataError, match="none of its sources has a file"):
        clean(spark, dataset(goods | {"optional": True}), tmp_path)


def test_a_relative_path_needs_a_root(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"input\.root, which is not set"):
        opened(spark, dataset(), None)
    with pytest.raises(ConfigError, match="--dataset"):
        opened(spark, None, "/nowhere")


def test_the_earliest_date_is_not_in_the_future() -> None:
    with pytest.raises(ConfigError, match="is not before clean.latest"):
        Bounds.of(CleanSettings(earliest="2030-01-01"), now=NOW, max_list_length=1)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (
            "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:///raw/a.gz.\n"
            "Caused by: java.io.EOFException: Unexpected end of input stream\n at DecompressorStream",
            DataError,
            "file:///raw/a.gz is cut short",
        ),
        (
            "Error while reading file s3a://b/raw/p.parquet. s3a://b/raw/p.parquet is not a Parquet file. Expected",
            DataError,
            "s3a://b/raw/p.parquet is not a Parquet file",
        ),
        (
            "java.io.FileNotFoundException: File file:/raw/a.json does not exist",
            DataError,
            "file:/raw/a.json disappeared",
        ),
        (
            "org.apache.hadoop.security.AccessControlException: Permission denied: file:/raw/a.json",
            DataError,
            "permission",
        ),
        ("[CAST_INVALID_INPUT] The value 'x' of the type STRING cannot be cast", ConfigError, "try_cast"),
        ("[DIVIDE_BY_ZERO] Division by zero", ConfigError, "try_divide"),
        ("java.io.IOException: No space left on device", RecsysError, "spark.local.dir"),
        (
            "[PARQUET_COLUMN_DATA_TYPE_MISMATCH] while reading file file:/raw/2.parquet. Parquet column cannot be",
            DataError,
            "file:/raw/2.parquet has a column of a different type",
        ),
    ],
)
def test_translation_of_errors_of_either_spark(text: str, kind: type[RecsysError], says: str) -> None:
    error = translate(RuntimeError(text))
    assert isinstance(error, kind)
    assert says in str(error)


@pytest.mark.parametrize("text", ["java.io.EOFException\n at PythonWorker.read", "NullPointerException", ""])
def test_errors_that_no_user_can_fix_are_not_translated(text: str) -> None:
    assert translate(RuntimeError(text)) is None


def test_the_project_s_own_errors_pass() -> None:
    error = DataError("x")
    assert translate(error) is error
