"""What the data plane costs beside DuckDB, how it grows, and what one more day costs.

    python -m benchmarks.data_plane --rows 1000000 [--growth FILE] [--out FILE]
    python -m benchmarks.data_plane --days

The first makes `clean`, `index` and `features` of the synthetic shop in a new session, then the same tables in DuckDB
(benchmarks/plane/duck.py), and compares both row by row. With `--growth FILE` (the result of a smaller run) CPU-seconds
per event are compared, and a fixed part and a part per million events are separated. `--days` delivers one more day to
a log of 30 and to one of 365 days. CPU-seconds are those of the process tree. The last line on stdout is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import Meter, describe
from benchmarks.plane import days, duck
from recsys.config import load_config
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.spark import build_session
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[1]
JOBS = ("clean", "index", "features")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="events of the shop")
    add("--dir", default="benchmark-data-plane", help="scratch directory; the shop in it is used again")
    add("--growth", metavar="FILE", help="JSON result of a smaller run to compare with")
    add("--days", action="store_true", help="measure one more day on 30 and on 365 days instead")
    add("--out", metavar="FILE", help="also write the JSON result here")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args()
    folder = Path(flags.dir)
    with Meter() as meter:
        metrics = one_more_day(meter, folder, flags.set) if flags.days else plane(meter, flags.rows, folder, flags.set)
        metrics["peak_gib"] = round(meter.take_peak() / 2**30, 2)
    if flags.growth:
        metrics |= growth(metrics, json.loads(Path(flags.growth).read_text(encoding="utf-8"))["metrics"])
    text = json.dumps({"name": "data_plane", "metrics": metrics, "machine": describe()})
    if flags.out:
        Path(flags.out).write_text(text + "\n", encoding="utf-8")
    print(text)


def plane(meter: Meter, rows: int, folder: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Run both sides on one shop, ours first and in a session of its own, and compare their tables."""
    raw, warehouse = folder / f"raw-{rows}", folder / f"warehouse-{rows}"
    shutil.rmtree(warehouse, ignore_errors=True)
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse.path={warehouse}", *overrides],
    )
    spark = build_session(config, "benchmark data plane")
    if not (raw / "manifest.json").is_file():
        # What is made in this session warms it up: the first figures of a fresh JVM come from a second run.
        generate(spark, ShopConfig.for_events(rows), str(raw))
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    as_of = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC) - timedelta(days=7)
    jobs = load_jobs(ROOT / "jobs")
    found: dict[str, Any] = {"events": manifest["rows"]["events"]}
    for name in JOBS:
        before = meter.cpu_seconds()
        graph.run_pipeline(spark, config, as_of, jobs, first=name, last=name, force=name != "clean")
        found[f"{name}_cpu_s"] = round(meter.cpu_seconds() - before, 1)
    spark.stop()
    refused, cpu = duck.timed(raw, folder / f"duckdb-{rows}", as_of)
    found |= {"recsys_cpu_s": round(sum(found[f"{name}_cpu_s"] for name in JOBS), 1), "duckdb_cpu_s": round(cpu, 1)}
    found["clean_ratio_duckdb"] = round(found["recsys_cpu_s"] / cpu, 2)
    found["rows_that_differ"] = duck.differences(folder / f"duckdb-{rows}", warehouse, as_of)
    return found | {"duckdb_refused": sum(refused.values())}


def one_more_day(meter: Meter, folder: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Deliver one day more to a short and to a long log."""
    config = load_config([ROOT / "conf/local.yaml"], overrides=[f"warehouse.path={folder / 'session'}", *overrides])
    return days.day_n(build_session(config, "benchmark data plane"), meter, folder)


def growth(larger: dict[str, Any], smaller: dict[str, Any]) -> dict[str, float]:
    """Compare two runs: cost per event for each doubling, and a straight line through both."""
    per_event = [run["recsys_cpu_s"] / run["events"] for run in (larger, smaller)]
    doublings = math.log2(larger["events"] / smaller["events"])
    slope = (larger["recsys_cpu_s"] - smaller["recsys_cpu_s"]) / (larger["events"] - smaller["events"])
    return {
        "growth_per_doubling": round((per_event[0] / per_event[1]) ** (1 / doublings), 3),
        "cpu_s_per_million_events": round(slope * 1e6, 1),
        "fixed_cpu_s": round(smaller["recsys_cpu_s"] - slope * smaller["events"], 1),
    }


if __name__ == "__main__":
    main()
