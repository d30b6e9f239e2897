"""The same rows from every format, encoding and kind of file."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.ingest.mappable import FILE, RAW
from tests.ingest.support import dataset, lines, mapped, source, write

pytestmark = pytest.mark.spark

NAMES = ["id", "user", "item", "type", "time", "qty", "price", "session", "step"]
ROWS: list[list[Any]] = [
    ["e1", "José", "i1", "view", "2024-05-01T10:00:00Z", 1, 2.5, "s1", 1],
    ["e2", "Zoë", "i2", "purchase", "2024-05-01T10:01:00Z", 2, 1.5, "s2", 1],
]


def csv(separator: str = ",", *, header: bool = True, end: str = "\n") -> str:
    rows = [separator.join(map(str, row)) for row in ROWS]
    return end.join([separator.join(NAMES), *rows] if header else rows) + end


def indexed(content: str) -> str:
    """Put a number in front of each row, in a column without a name."""
    return "".join(f"{k or ''},{line}\n" for k, line in enumerate(content.splitlines()))


def objects() -> list[dict[str, Any]]:
    return [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def parquet(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(objects()), file)


def text(name: str, content: str, encoding: str = "utf-8") -> Any:
    return lambda root: write(root, name, content, encoding=encoding)


FORMATS: list[tuple[str, str, Any, Any]] = [
    ("csv", "e.csv", "csv", text("e.csv", csv())),
    ("csv gz", "e.csv.gz", "csv", text("e.csv.gz", csv())),
    ("csv directory", "e", "csv", lambda root: [text(f"e/part-{k}.csv", csv())(root) for k in (0, 1)]),
    ("csv dates", "e", "csv", lambda root: [text(f"e/dt=2024-05-0{k}/p.csv.gz", csv())(root) for k in (1, 2)]),
    ("csv tree", "e", "csv", lambda root: [text(f"e/2024/0{k}/p.csv", csv())(root) for k in (1, 2)]),
    ("csv unnamed column", "e.csv", "csv", text("e.csv", indexed(csv()))),
    ("csv twin columns", "e.csv", "csv", text("e.csv", csv(end=",x,x\n").replace("step,x,x", "step,twin,twin"))),
    ("csv glob", "d*/e-?.csv", "csv", text("d1/e-1.csv", csv())),
    ("csv ::", "e.dat", {"type": "csv", "separator": "::"}, text("e.dat", csv("::"))),
    ("csv tab", "e.tsv", {"type": "csv", "separator": "\t", "quote": ""}, text("e.tsv", csv("\t"))),
    ("csv headless", "e.csv", {"type": "csv", "header": False, "names": NAMES}, text("e.csv", csv(header=False))),
    ("csv windows ends", "e.csv", "csv", text("e.csv", csv(end="\r\n"))),
    ("csv byte order mark", "e.csv", "csv", text("e.csv", csv(), "utf-8-sig")),
    ("csv latin-1", "e.csv", {"type": "csv", "encoding": "ISO-8859-1"}, text("e.csv", csv(), "latin-1")),
    ("csv latin-1 gz", "e.csv.gz", {"type": "csv", "encoding": "latin1"}, text("e.csv.gz", csv(), "latin-1")),
    ("csv windows-1252", "e.csv", {"type": "csv", "encoding": "windows-1252"}, text("e.csv", csv(), "cp1252")),
    ("json", "e.json", "json", text("e.json", lines(objects()))),
    ("json tree", "e", "json", lambda root: [text(f"e/{k}/p.json", lines(objects()))(root) for k in (1, 2)]),
    ("json gz", "e.json.gz", "json", text("e.json.gz", lines(objects()))),
    ("json blank lines", "e.json", "json", text("e.json", "\n" + lines(objects()).replace("\n", "\n\n"))),
    ("json utf-16", "e.json", "json", text("e.json", lines(objects()), "utf-16")),
    (
        "json latin-1",
        "e.json",
        {"type": "json", "encoding": "ISO-8859-1"},
        text("e.json", "\n".join(json.dumps(o, ensure_ascii=False) for o in objects()), "latin-1"),
    ),
    ("orc", "e.orc", "orc", lambda root: orc.write_table(pa.Table.from_pylist(objects()), root / "e.orc")),
    ("parquet", "e.parquet", "parquet", lambda root: parquet(root / "e.parquet")),
    ("parquet tree", "e", "parquet", lambda root: [parquet(root / "e" / k / "p.parquet") for k in ("a", "b")]),
    ("parquet directory", "e", "parquet", lambda root: parquet(root / "e" / "part-0.parquet")),
]


@pytest.mark.parametrize(("path", "form", "make"), [case[1:] for case in FORMATS], ids=[case[0] for case in FORMATS])
def test_format(spark: SparkSession, tmp_path: Path, path: str, form: Any, make: Any) -> None:
    root = tmp_path / "raw data"
    root.mkdir()
    make(root)
    rows = mapped(spark, dataset(source(path=path, format=form)), root)
    # A directory with two equal files has every row twice.
    assert len(rows) == 2 * len({row[FILE] for row in rows})
    assert {(r["user_id"], r["event_type"], r["quantity"], r["price"], r["session_step"]) for r in rows} == {
        ("José", "view", 1.0, 2.5, 1),
        ("Zoë", "purchase", 2.0, 1.5, 1),
    }
    assert all("raw%20data/" in row[FILE] for row in rows)
    assert all("e1" in row[RAW] or "e2" in row[RAW] for row in rows)


def test_delta(spark: SparkSession, tmp_path: Path) -> None:
    spark.createDataFrame(objects()).write.format("delta").save(str(tmp_path / "e"))
    rows = mapped(spark, dataset(source(path="e", format="delta")), tmp_path)
    assert sorted(row["event_id"] for row in rows) == ["e1", "e2"]


def test_typed_columns_keep_their_types(spark: SparkSession, tmp_path: Path) -> None:
    """Ids that became floats, times without a zone, NaN for nothing."""
    table = pa.table(
        {
            "user": pa.array([13085.0, float("nan")]),
            "session": ["s1", "s2"],
            "item": pa.array([7, 8], pa.int64()),
            "at": pa.array([datetime(2024, 7, 1, 12), datetime(2024, 1, 1, 12)], pa.timestamp("us")),
            "price": pa.array([1.5, float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "e.parquet")
    columns = {"user_id": "user", "session_id": "session", "item_id": "item", "event_time": "at", "price": "price"}
    one = source(path="e.parquet", format="parquet", columns={**columns, "event_type": {"literal": "view"}})
    rows = sorted(mapped(spark, dataset(one, timezone="Europe/London"), tmp_path), key=lambda row: row["item_id"])
    assert [row["user_id"] for row in rows] == ["13085", "anon:s2"]
    assert [row["price"] for row in rows] == [1.5, None]
    assert [row["event_time"].hour for row in rows] == [11, 12]


TIMES = [
    ("unix_s", 1714557600, "2024-05-01 10:00:00"),
    ("unix_s", "1714557600.5", "2024-05-01 10:00:00.500000"),
    ("unix_ms", 1714557600123, "2024-05-01 10:00:00.123000"),
    ("unix_us", "1714557600123456", "2024-05-01 10:00:00.123456"),
    ("unix_us", "1714557600123456.0", "2024-05-01 10:00:00.123456"),
    ("unix_us", 1714557600123456.0, "2024-05-01 10:00:00.123456"),
    ("iso", "2024-05-01T12:00:00+02:00", "2024-05-01 10:00:00"),
    (None, "2024-05-01T12:00:00 Europe/Berlin", "2024-05-01 10:00:00"),
    (None, "2024-05-01 12:00:00+2:00", "2024-05-01 10:00:00"),
    (None, "2024-05-01", "2024-04-30 22:00:00"),
    (None, "2024-05-01 12:00:00", "2024-05-01 10:00:00"),
    (None, "2024-05-01T10:00:00Z", "2024-05-01 10:00:00"),
    ("dd/MM/yyyy HH:mm", "01/05/2024 12:00", "2024-05-01 10:00:00"),
    ("yyyy-MM-dd HH:mm:ssXXX", "2024-05-01 10:00:00Z", "2024-05-01 10:00:00"),
    ("d.M.yyyy", "1.5.2024", "2024-04-30 22:00:00"),
]


@pytest.fixture(scope="module")
def times(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Read each time through a source of its own, all in one run, in a zone two hours ahead of UTC."""
    root = tmp_path_factory.mktemp("times")
    sources = []
    for at, (form, value, _) in enumerate(TIMES):
        write(root, f"{at}.json", lines([{"user": "u", "item": f"i{at}", "time": value}]))
        columns = {
            "user_id": "user",
            "item_id": "item",
            "event_type": {"literal": "view"},
            "event_time": {"column": "time", "format": form},
        }
        sources.append(source(name=f"s{at}", path=f"{at}.json", columns=columns))
    rows = mapped(spark, dataset(*sources, timezone="Europe/Berlin"), root)
    return {row["item_id"]: str(row["event_time"]) for row in rows}


@pytest.mark.parametrize("at", range(len(TIMES)), ids=[f"{form}-{value}" for form, value, _ in TIMES])
def test_time(times: dict[str, str], at: int) -> None:
    assert times.get(f"i{at}") == TIMES[at][2]


def test_values_from_folder_names_are_text(spark: SparkSession, tmp_path: Path) -> None:
    for day in ("20240501", "20240502"):
        write(tmp_path, f"e/store=007/day={day}/p.csv", "user,item\nu1,i1\n")
    columns = {
        "user_id": "user",
        "item_id": "item",
        "event_type": {"literal": "view"},
        "event_time": {"column": "day", "format": "yyyyMMdd"},
        "session_id": "store",
    }
    rows = mapped(spark, dataset(source(path="e", format="csv", columns=columns)), tmp_path)
    assert [str(row["event_time"].date()) for row in sorted(rows, key=str)] == ["2024-05-01", "2024-05-02"]
    assert {row["session_id"] for row in rows} == {"007"}
