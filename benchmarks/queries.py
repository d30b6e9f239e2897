"""How many queries the pipeline asks: SQL executions and Spark jobs of each stage, counted in Spark's event log.

    python -m benchmarks.queries [--rows 6000] [--out FILE] [--set KEY=VALUE]

On a laptop a query over a small table costs a fraction of a second, on a cluster seconds, however small the table: the
number of queries is the shortest time that the pipeline can take. A shop of `--rows` events is made in a temporary
directory (not counted) and goes through the whole pipeline in one session. Then 53 more events arrive, and `clean` runs
again: once from a folder that holds them alone (the other sources are optional), once with the file added to those that
were there. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.machine import describe
from recsys import data
from recsys.config import Config, load_config
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.pipeline.summary import summarize
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[1]
NEW_EVENTS = 53
ALONE, BESIDE = f"clean of {NEW_EVENTS} new rows", f"clean of {NEW_EVENTS} new rows beside the old"
_SQL = "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart"
_JOB = "SparkListenerJobStart"


@dataclass
class Counts:
    """What one stage asked."""

    executions: int = 0
    jobs: int = 0


def main() -> None:
    """Run the pipeline twice, count, print a table and the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6_000, help="events of the shop")
    parser.add_argument("--out", metavar="FILE", help="also write the JSON result here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recsys-queries-") as folder:
        counts = measure(flags.rows, Path(folder), flags.set)
    sys.stderr.write(f"\n{as_table(counts)}\n")
    text = json.dumps({"name": "queries", "metrics": metrics_of(counts), "machine": describe()})
    if flags.out:
        Path(flags.out).write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(rows: int, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Counts]:
    """Run the pipeline over a new shop, then `clean` over new events; return the counts by stage, in order."""
    raw, log = folder / "raw", folder / "log"
    log.mkdir()
    settings = [
        f"input.root={raw}",
        f"warehouse.path={folder / 'warehouse'}",
        "spark.master=local[2]",
        "spark.conf.spark.eventLog.enabled=true",
        f"spark.conf.spark.eventLog.dir=file://{log}",
        "spark.conf.spark.eventLog.compress=false",
        "spark.conf.spark.eventLog.rolling.enabled=false",
    ]
    dataset = ROOT / "conf/datasets/synthetic-shop.yaml"
    config = load_config([ROOT / "conf/local.yaml"], dataset=dataset, overrides=[*settings, *overrides])
    spark = build_session(config, "benchmark queries")
    shop = ShopConfig.for_events(rows)
    generate(spark, shop, str(raw))
    begins = _run(spark, config, raw, shop)
    spark.stop()
    return count(log, begins)


def _run(spark: SparkSession, config: Config, raw: Path, shop: ShopConfig) -> dict[str, float]:
    """Run all; return when each stage began, in milliseconds since 1970, in order."""
    as_of = datetime(shop.end.year, shop.end.month, shop.end.day, tzinfo=UTC) - timedelta(days=7)
    jobs, begins = load_jobs(ROOT / "jobs"), {"before": _now()}
    outcomes = graph.run_pipeline(spark, config, as_of, jobs)
    begins["summary"] = _now()
    summarize(spark, config, as_of, outcomes)
    landing = raw.parent / "landing"
    deliver(raw / "events", landing / "events", shop.end)
    begins[ALONE] = _now()
    graph.run_pipeline(spark, _landed(config, landing), as_of, jobs, first="clean", last="clean")
    deliver(raw / "events", raw / "events", shop.end)
    begins[BESIDE] = _now()
    graph.run_pipeline(spark, config, as_of, jobs, first="clean", last="clean")
    begins["after"] = _now()
    started = F.unix_millis("started_at").alias("at")
    runs = Warehouse(spark, config.warehouse).read(data.RUNS).select("slice", started).orderBy("at")
    stages = {row["slice"]: row["at"] for row in runs.collect() if row["at"] < begins["summary"]}
    return dict(sorted({**stages, **begins}.items(), key=lambda begun: begun[1]))


def _landed(config: Config, folder: Path) -> Config:
    """The config for a folder that holds new events alone."""
    assert config.dataset is not None
    sources = tuple(source.model_copy(update={"optional": True}) for source in config.dataset.sources)
    dataset = config.dataset.model_copy(update={"sources": sources})
    return config.model_copy(
        update={"dataset": dataset, "input": config.input.model_copy(update={"root": str(folder)})}
    )


def _now() -> float:
    return time.time() * 1000


def deliver(events: Path, folder: Path, day: date) -> None:
    """Write a day of new events into a folder: lines that were there before, with ids and times of their own."""
    new, first = [], folder.parent.name
    for line in _lines(events):
        record = _record(line)
        if record and record.get("uid"):
            at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=len(new))
            new.append(json.dumps({**record, "event_id": f"{first}-{len(new)}", "ts": at.isoformat()}))
        if len(new) == NEW_EVENTS:
            break
    (folder / f"dt={day}").mkdir(parents=True)
    with gzip.open(folder / f"dt={day}" / "part-0.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(new) + "\n")


def _lines(events: Path) -> Iterator[str]:
    for path in sorted(events.glob("dt=*/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file


def _record(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def count(log: Path, begins: Mapping[str, float]) -> dict[str, Counts]:
    """Count the log's executions and jobs by stage; one belongs to the last stage that began before it."""
    counts = {stage: Counts() for stage in begins}
    order = list(begins.items())
    (file,) = log.iterdir()
    with file.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            kind = event["Event"]
            if kind not in (_SQL, _JOB):
                continue
            at = event["time"] if kind == _SQL else event["Submission Time"]
            stage = next((name for name, begun in reversed(order) if begun <= at), None)
            if stage is not None and kind == _SQL:
                counts[stage].executions += 1
            elif stage is not None:
                counts[stage].jobs += 1
    return {stage: counted for stage, counted in counts.items() if stage != "after"}


def metrics_of(counts: Mapping[str, Counts]) -> dict[str, int]:
    """The counts as plain values; the totals are of the pipeline, its summary included."""
    first = {stage: counted for stage, counted in counts.items() if stage not in (ALONE, BESIDE)}
    return {
        "sql_executions": sum(counted.executions for counted in first.values()),
        "spark_jobs": sum(counted.jobs for counted in first.values()),
        f"clean_{NEW_EVENTS}_executions": counts[ALONE].executions,
        f"clean_{NEW_EVENTS}_jobs": counts[ALONE].jobs,
        f"clean_{NEW_EVENTS}_beside_executions": counts[BESIDE].executions,
        f"clean_{NEW_EVENTS}_beside_jobs": counts[BESIDE].jobs,
        **{f"{stage}_executions": counted.executions for stage, counted in first.items()},
        **{f"{stage}_jobs": counted.jobs for stage, counted in first.items()},
    }


def as_table(counts: Mapping[str, Counts]) -> str:
    """The counts as a Markdown table."""
    lines = ["| stage | SQL executions | Spark jobs |", "|---|--:|--:|"]
    lines += [f"| {stage} | {counted.executions} | {counted.jobs} |" for stage, counted in counts.items()]
    metrics = metrics_of(counts)
    lines.append(f"| **the pipeline** | {metrics['sql_executions']} | {metrics['spark_jobs']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
