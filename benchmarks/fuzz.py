"""Bad input at volume: is every row of fuzzed files in `events` or in `quarantine`, whatever is wrong with it?

    python -m benchmarks.fuzz [--rows 10000] [--seed 1] [--avro [VERSION]]

Writes `--rows` rows of events in each of csv, json, Parquet and ORC (and Avro with `--avro`, for which Spark fetches
its module), of which about two thirds are spoilt in some way by a seeded generator, and runs `clean` over them. Then
one more file of each comes, and `clean` runs again over the grown folder. The last line on stdout is one JSON object:
`unaccounted` is the number of rows that are neither in `events` nor in `quarantine` (as many copies as it says), and
`counted_twice` how many refused rows the second run counted that the first one had counted already.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import describe
from jobs import clean
from recsys import data
from recsys.config import Config
from recsys.pipeline import execute
from recsys.spark import local_session
from recsys.store import Warehouse

FIELDS: Final = ("id", "user", "item", "type", "time", "qty", "price", "session")
FORMATS: Final = ("csv", "json", "parquet", "orc", "avro")
_SPACES: Final = ("\t", "\u00a0", "\u3000", "\u200b", "\ufeff", " ")
_ODD: Final[tuple[Any, ...]] = (
    *("", " ", "NaN", "nan", "null", "None", "\\N", "-", "0", "-0.0", "007", "7.0", "7.0000000000", "1e309", "1E400"),
    *("\x01", "a\x01b", "\x00", "'; DROP TABLE x", "${env:HOME}", "{}", "[]", '"', "a,b", "ü", "\U0001f600", "\ufffd"),
    *("9" * 40, "x" * 5000, "2024-05", "2024-02-30", "0001-01-01", "9999-12-31T23:59:59Z", "24:00", "1714557600"),
    *("true", "-1", "1_000", "1.5E9", "Infinity", "0x1F", "１２", "\u202e", "\ud7ff"),
)
_BYTES: Final = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"a\xfe\x01", b"\xf0\x9f", b"")
_NUMBERS: Final = (float("nan"), float("inf"), -float("inf"), -0.0, 7.0, 2.0**53, 1e300, -1.0, 0.1, 5e-324)


def rows(count: int, seed: int, mark: str) -> list[dict[str, Any]]:
    """Return events, of which about half have one to three odd values.

    Parameters
    ----------
    mark : str
        Begins the ids, so that those of different files differ.
    """
    chance, found = random.Random(f"{seed}-{mark}"), []
    for at in range(count):
        moment = datetime.fromtimestamp(1_714_557_600 + 61 * at, UTC).isoformat()
        row: dict[str, Any] = {
            "id": f"{mark}{at}",
            "user": f"u{at % 997}",
            "item": chance.choice([str(at % 499), f"{at % 499}.0", at % 499, float(at % 499)]),
            "type": chance.choice(["view", "click", "purchase"]),
            "time": moment,
            "qty": chance.choice([1, "2", 3.0]),
            "price": round(chance.random() * 100, 2),
            "session": f"s{at // 7}",
        }
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
            name = chance.choice(FIELDS)
            spaced = f"{chance.choice(_SPACES)}{row[name]}{chance.choice(_SPACES)}"
            row[name] = chance.choice([chance.choice(_ODD), chance.choice(_NUMBERS), spaced, None])
        # A row that was sent twice.
        found.append(chance.choice(found) if found and chance.random() < 0.03 else row)
    return found


def text_lines(kind: str, given: Sequence[dict[str, Any]], seed: int) -> list[bytes]:
    """Return rows as lines of csv or json, a tenth of them cut, doubled, or with bytes that are no text."""
    chance, found = random.Random(f"{seed}-{kind}"), []
    for row in given:
        line = _csv_line(row) if kind == "csv" else json.dumps(row, ensure_ascii=chance.random() < 0.5)
        line = re.sub(r"[\r\n\u2028\u2029\x85]", " ", line)
        raw = line.encode("utf-8", "replace")
        if chance.random() < 0.1:
            cut = chance.randrange(1, len(raw))
            raw = chance.choice(
                [
                    raw[:cut],
                    raw + raw,
                    raw + b",",
                    b"\t" + raw,
                    raw[:cut] + chance.choice(_BYTES) + raw[cut:],
                    b"[" + raw,
                ]
            )
        # A line of white space alone is no row.
        found.append(raw if raw.decode("utf-8", "replace").strip(" \t\x00[],") else b"x")
    return found


def write_files(folder: Path, count: int, seed: int, mark: str, spark: SparkSession, *, avro: bool) -> dict[str, int]:
    """Write one file per format and return how many rows each holds."""
    written = {}
    for kind in FORMATS:
        if kind == "avro" and not avro:
            continue
        given = rows(count, seed, f"{mark}-{kind}-")
        (folder / kind).mkdir(parents=True, exist_ok=True)
        file = folder / kind / f"{mark}.{kind}"
        if kind in ("csv", "json"):
            head = [",".join(FIELDS).encode()] if kind == "csv" else []
            file.write_bytes(b"\n".join([*head, *text_lines(kind, given, seed)]) + b"\n")
        else:
            _write_typed(file, typed_table(given, seed), spark)
        written[kind] = count
    return written


def typed_table(given: Sequence[dict[str, Any]], seed: int) -> pa.Table:
    """Return rows as a table: texts as bytes, some of which are no UTF-8; items and prices as doubles."""
    chance = random.Random(f"{seed}-typed")

    def raw(value: Any) -> bytes | None:
        spoilt = chance.choice(_BYTES) if chance.random() < 0.03 else b""
        return None if value is None else str(value).encode("utf-8", "replace") + spoilt

    def number(value: Any) -> float | None:
        try:
            return None if value is None else float(value)
        except ValueError:
            return chance.choice(_NUMBERS)

    columns = {
        name: pa.array([number(row[name]) for row in given], pa.float64())
        if name in ("item", "price")
        else pa.array([raw(row[name]) for row in given], pa.binary())
        for name in FIELDS
    }
    return pa.table(columns)


def measure(spark: SparkSession, folder: Path, *, count: int, seed: int, avro: bool = False) -> dict[str, Any]:
    """Write, clean and count twice: a first delivery, and the same folder with a tenth more rows."""
    root = folder / "raw"
    config = _config(root, folder / "warehouse", [kind for kind in FORMATS if kind != "avro" or avro])
    warehouse = Warehouse(spark, config.warehouse)
    written = write_files(root, count, seed, "first", spark, avro=avro)
    execute(clean.run, spark, config, datetime(2024, 7, 1, tzinfo=UTC))
    first = _counted(warehouse)
    write_files(root, max(1, count // 10), seed, "second", spark, avro=avro)
    execute(clean.run, spark, config, datetime(2024, 7, 2, tzinfo=UTC))
    old = warehouse.read(data.QUARANTINE).where(F.col("source_file").contains("first.")).agg(F.sum("copies")).first()
    reasons = warehouse.read(data.QUARANTINE).select(F.explode("reasons").alias("reason")).groupBy("reason").count()
    return {
        "rows": sum(written.values()),
        "unaccounted": sum(abs(rows - sum(first.get(kind, (0, 0)))) for kind, rows in written.items()),
        "formats": {
            kind: dict(zip(("events", "quarantine"), first.get(kind, (0, 0)), strict=True)) for kind in written
        },
        "counted_twice": (old[0] or 0 if old else 0) - sum(lost for _, lost in first.values()),
        "reasons": {row["reason"]: row["count"] for row in reasons.orderBy("reason").collect()},
    }


def _counted(warehouse: Warehouse) -> dict[str, tuple[int, int]]:
    """Rows of `events` and of `quarantine` by format."""
    events = warehouse.read(data.EVENTS).groupBy("device").count().collect()
    refused = warehouse.read(data.QUARANTINE).groupBy("source_name").agg(F.sum("copies").alias("n")).collect()
    kept = {row["device"]: row["count"] for row in events}
    lost = {row["source_name"]: row["n"] for row in refused}
    return {kind: (kept.get(kind, 0), lost.get(kind, 0)) for kind in {*kept, *lost}}


def mapping(kinds: Sequence[str]) -> dict[str, Any]:
    """Return the mapping of the files: a source per format, named in `device`."""
    names = ("event_id", "user_id", "item_id", "event_type", "event_time", "quantity", "price", "session_id")
    columns = dict(zip(names, FIELDS, strict=True))
    return {
        "name": "fuzz",
        "sources": [
            {
                "name": kind,
                "table": "events",
                "path": kind,
                "format": kind,
                "columns": {**columns, "device": {"literal": kind}},
            }
            for kind in kinds
        ],
    }


def _config(root: Path, warehouse: Path, kinds: Sequence[str]) -> Config:
    return Config.model_validate(
        {
            "warehouse": {"path": str(warehouse)},
            "input": {"root": str(root)},
            "dataset": mapping(kinds),
            "clean": {"quarantine_limit": 1.0, "duplicate_limit": 1.0},
        }
    )


def _csv_line(row: dict[str, Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(["" if row[name] is None else row[name] for name in FIELDS])
    return out.getvalue()


def _write_typed(file: Path, table: pa.Table, spark: SparkSession) -> None:
    if file.suffix == ".parquet":
        pq.write_table(table, file)
    elif file.suffix == ".orc":
        orc.write_table(table, file)
    else:
        scratch = file.parent.parent / f"scratch-{file.stem}.parquet"
        pq.write_table(table, scratch)
        spark.read.parquet(str(scratch)).coalesce(1).write.format("avro").save(str(file))
        scratch.unlink()


def main() -> None:
    """Print the counts as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each format")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--avro", nargs="?", const=pyspark.__version__, help="Avro too; the version of Spark's module, which is fetched"
    )
    args = parser.parse_args()
    scala = "2.13" if pyspark.__version__.startswith("4") else "2.12"
    extra = {"spark.jars.packages": f"org.apache.spark:spark-avro_{scala}:{args.avro}"} if args.avro else {}
    spark = local_session("fuzz", cores=2, extra=extra)
    with tempfile.TemporaryDirectory() as folder:
        metrics = measure(spark, Path(folder), count=args.rows, seed=args.seed, avro=bool(args.avro))
    print(json.dumps({"name": "fuzz", "metrics": metrics, "machine": describe()}))


if __name__ == "__main__":
    main()
