"""The whole pipeline on the synthetic shop: seconds, CPU-seconds, peak memory and rows of each stage.

    python -m benchmarks.pipeline --rows 1000000 [--dir DIR] [--growth FILE] [--out FILE] [--set KEY=VALUE]

The last line on stdout is one JSON object. With `--growth FILE` (a result of a smaller run) the CPU-seconds per event
are compared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import Meter, describe, now
from recsys.config import load_config
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.pipeline.summary import stages
from recsys.spark import build_session
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Make the shop (not counted), run the pipeline job by job, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events of the shop")
    parser.add_argument("--dir", default="benchmark-pipeline", help="scratch directory; the shop in it is used again")
    parser.add_argument("--growth", metavar="FILE", help="JSON result of a smaller run to compare with")
    parser.add_argument("--out", metavar="FILE", help="also write the JSON result here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args()
    result = measure(flags.rows, Path(flags.dir), flags.set)
    if flags.growth:
        smaller = json.loads(Path(flags.growth).read_text(encoding="utf-8"))["metrics"]
        per_million = "cpu_s_per_million_events"
        result["metrics"]["growth_cpu_per_event"] = round(result["metrics"][per_million] / smaller[per_million], 3)
    sys.stderr.write(f"\n{as_table(result['metrics'])}\n")
    text = json.dumps(result)
    if flags.out:
        Path(flags.out).write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(rows: int, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run the pipeline once in a new warehouse and return the result."""
    raw, warehouse = folder / f"raw-{rows}", folder / f"warehouse-{rows}"
    shutil.rmtree(warehouse, ignore_errors=True)
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse.path={warehouse}", "spark.master=local[2]", *overrides],
    )
    spark = build_session(config, "benchmark pipeline")
    if not (raw / "manifest.json").is_file():
        generate(spark, ShopConfig.for_events(rows), str(raw))
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    as_of = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC) - timedelta(days=7)
    jobs = load_jobs(ROOT / "jobs")
    metrics: dict[str, float] = {"events": manifest["rows"]["events"]}
    peak = 0.0
    with Meter() as meter:
        begun, spent = now(), meter.cpu_seconds()
        for name in graph.ordered(jobs):
            before, cpu_before = now(), meter.cpu_seconds()
            outcomes = graph.run_pipeline(spark, config, as_of, jobs, first=name, last=name, force=True)
            gib = meter.take_peak() / 2**30
            peak = max(peak, gib)
            metrics |= {
                f"{name}_wall_s": round(now() - before, 1),
                f"{name}_cpu_s": round(meter.cpu_seconds() - cpu_before, 1),
                f"{name}_peak_gib": round(gib, 2),
            }
            sys.stderr.write(f"{stages(outcomes)}  cpu {metrics[f'{name}_cpu_s']} s\n")
        metrics["wall_s"] = round(now() - begun, 1)
        metrics["cpu_s"] = round(meter.cpu_seconds() - spent, 1)
    metrics["peak_gib"] = round(peak, 2)
    metrics["cpu_s_per_million_events"] = round(metrics["cpu_s"] / metrics["events"] * 1e6, 1)
    metrics |= _rows(spark, str(warehouse))
    return {"name": "pipeline", "metrics": metrics, "machine": describe()}


def as_table(metrics: dict[str, float]) -> str:
    """The figures of each job as a Markdown table."""
    lines = ["| job | wall s | CPU s | peak GiB | rows written |", "|---|--:|--:|--:|---|"]
    for job in [key.removesuffix("_cpu_s") for key in metrics if key.endswith("_cpu_s")]:
        written = {key.removeprefix(f"{job}_"): int(n) for key, n in metrics.items() if key.startswith(f"{job}_")}
        rows = ", ".join(f"{key.removesuffix('_rows')} {n:,}" for key, n in written.items() if key.endswith("_rows"))
        figures = " | ".join(f"{metrics[f'{job}_{unit}']:,}" for unit in ("wall_s", "cpu_s", "peak_gib"))
        lines.append(f"| {job} | {figures} | {rows} |")
    total = " | ".join(f"{metrics[unit]:,}" for unit in ("wall_s", "cpu_s", "peak_gib"))
    return "\n".join([*lines, f"| **all** | {total} | |"])


def _rows(spark: Any, warehouse: str) -> dict[str, float]:
    """Rows that each job wrote, from the `runs` table."""
    runs = spark.read.format("delta").load(f"{warehouse}/runs").where("status = 'done'").select("job", "rows")
    return {f"{row['job']}_{table}_rows": rows for row in runs.collect() for table, rows in sorted(row["rows"].items())}


if __name__ == "__main__":
    main()
