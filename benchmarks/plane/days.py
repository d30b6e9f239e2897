"""What one more day costs on a log of a month and on one of a year."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.machine import Meter
from recsys.config import load_config
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[2]
LONG, SHORT = 365, 30
EVENTS_A_DAY = 400
LAST = "features"
_WARM_UP = 2
"""Days before the one that is measured, each a run of its own: the first runs of a session compile."""


def day_n(spark: SparkSession, meter: Meter, folder: Path) -> dict[str, float]:
    """Deliver a log, then one day after the other; return the CPU-seconds of the last day's `clean` to `features`."""
    config = ShopConfig.for_events(EVENTS_A_DAY * LONG, days=LONG)
    raw = folder / "raw-year"
    if not (raw / "manifest.json").is_file():
        generate(spark, config, str(raw))
    found = {}
    for days in (SHORT, LONG):
        found[f"day_{days}_cpu_s"] = round(_last_day(spark, meter, raw, folder / f"year-{days}", config.end, days), 1)
    return {**found, "day_n_ratio": round(found[f"day_{LONG}_cpu_s"] / found[f"day_{SHORT}_cpu_s"], 3)}


def _last_day(spark: SparkSession, meter: Meter, raw: Path, scratch: Path, end: object, days: int) -> float:
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "raw").mkdir(parents=True)
    for part in ("catalog.csv", "profiles"):
        shutil.copytree(raw / part, scratch / "raw" / part)
    config = load_config(
        [ROOT / "conf/local.yaml"],
        dataset=ROOT / "conf/datasets/synthetic-shop.yaml",
        overrides=[f"input.root={scratch / 'raw'}", f"warehouse.path={scratch / 'warehouse'}"],
    )
    jobs = load_jobs(ROOT / "jobs")
    last = datetime.fromisoformat(str(end)).replace(tzinfo=UTC)
    spent = 0.0
    for back in range(_WARM_UP, -1, -1):
        until = last - timedelta(days=back)
        first = last - timedelta(days=days) if back == _WARM_UP else until - timedelta(days=1)
        _deliver(raw, scratch / "raw", first, until)
        before = meter.cpu_seconds()
        graph.run_pipeline(spark, config, until, jobs, last=LAST)
        spent = meter.cpu_seconds() - before
    return spent


def _deliver(raw: Path, to: Path, first: datetime, until: datetime) -> None:
    for part in ("events", "impressions"):
        for folder in sorted((raw / part).glob("dt=*")):
            day = datetime.fromisoformat(folder.name.removeprefix("dt=")).replace(tzinfo=UTC)
            if first <= day < until:
                shutil.copytree(folder, to / part / folder.name)
