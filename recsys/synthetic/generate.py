"""Write a synthetic shop: raw logs, catalog, profiles, the truth beside them, and the manifest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from recsys.synthetic import dirt, reference
from recsys.synthetic.actions import EVENTS
from recsys.synthetic.config import ShopConfig
from recsys.synthetic.frames import frame_of
from recsys.synthetic.lines import event_lines, impression_lines, with_event_defects
from recsys.synthetic.manifest import Manifest
from recsys.synthetic.rate import session_rate
from recsys.synthetic.truth import AUC_NAMES, summary

log = logging.getLogger(__name__)

_GZIP = {"compression": "gzip", "zlib.compress.level": "BEST_SPEED"}
_SMALL, _LARGE = 100_000, 400_000
_LARGE_LOG = 20_000_000


def generate(spark: SparkSession, cfg: ShopConfig, out_dir: str, *, partitions: int | None = None) -> Manifest:
    """Write a shop's raw logs under a directory and return what they hold.

    Parameters
    ----------
    spark
        Any session; its time zone is set to UTC while this runs.
    out_dir
        A path that driver and executors share; an earlier shop there is replaced.
    partitions
        Tasks per pass; by default about one per 100,000 to 400,000 events. The lines do not depend on it.
    """
    out = out_dir.rstrip("/")
    tasks = partitions or default_partitions(cfg)
    Manifest.withdraw(out)
    rate = session_rate(cfg)
    with _utc(spark):
        counts = {
            "impressions": _timed("impressions", lambda: _impressions(spark, cfg, out, rate, tasks)),
            "events": _timed("events", lambda: _events(spark, cfg, out, rate, tasks)),
            "catalog": _timed("catalog", lambda: _catalog(spark, cfg, out)),
            "profiles": _timed("profiles", lambda: _profiles(spark, cfg, out)),
        }
        found = _timed("truth", lambda: _truth(spark, cfg, out, rate, tasks))
    manifest = _manifest(cfg, counts, found)
    manifest.save(out)
    return manifest


def default_partitions(cfg: ShopConfig) -> int:
    """Return the number of tasks of a pass; a multiple of the days once days fill a task."""
    wanted = -(-cfg.n_events // (_SMALL if cfg.n_events < _LARGE_LOG else _LARGE))
    return wanted if wanted < cfg.days else cfg.days * -(-wanted // cfg.days)


@contextmanager
def _utc(spark: SparkSession) -> Iterator[None]:
    """Format times in UTC within the block."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    try:
        yield
    finally:
        if before is not None:
            spark.conf.set("spark.sql.session.timeZone", before)


def _timed(step: str, run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Run a step and log its seconds."""
    began = time.perf_counter()
    result = run()
    log.info("synthetic %s: %.1f s", step, time.perf_counter() - began)
    return result


def _count_defects(names: Mapping[str, float]) -> list[Column]:
    """Return one count per defect name."""
    return [F.count_if(F.col("defect") == name).alias(name) for name in names]


def _write_lines(lines: DataFrame, path: str, measures: list[Column], *, by_day: bool) -> dict[str, float]:
    """Write the ``value`` column as gzipped text, and return what was counted along the way."""
    seen = Observation()
    observed = lines.observe(seen, F.count(F.lit(1)).alias("rows"), *measures)
    kept = observed.select(*(["dt"] if by_day else []), "value")
    writer = kept.write.mode("overwrite").options(**_GZIP)
    (writer.partitionBy("dt") if by_day else writer).text(path)
    return dict(seen.get)


def _events(spark: SparkSession, cfg: ShopConfig, out: str, rate: float, tasks: int) -> dict[str, float]:
    """Write the actions. Refunds come days after their order, so the rows are first gathered by day."""
    dirty = with_event_defects(frame_of(spark, cfg, "events", rate=rate, partitions=tasks), cfg)
    files = F.pmod(F.xxhash64("event_id"), F.lit(max(1, tasks // cfg.days)))
    gathered = dirty.repartition(tasks, F.col("dt"), files)
    measures = _count_defects({**dirt.EVENT_DEFECTS, **dirt.EVENT_ODDITIES}) + [
        *[F.count_if(F.col("clean_event") == name).alias(f"type:{name}") for name in EVENTS],
        F.count_if(F.col("clean_event").isNotNull() & F.col("is_bot")).alias("bots"),
        F.count_if("anonymous").alias("anonymous"),
    ]
    return _write_lines(event_lines(gathered), f"{out}/events", measures, by_day=True)


def _impressions(spark: SparkSession, cfg: ShopConfig, out: str, rate: float, tasks: int) -> dict[str, float]:
    """Write the shown lists."""
    lines = impression_lines(frame_of(spark, cfg, "impressions", rate=rate, partitions=tasks), cfg)
    measures = [*_count_defects(dirt.IMPRESSION_DEFECTS), F.sum("items").alias("items")]
    return _write_lines(lines, f"{out}/impressions", measures, by_day=True)


def _catalog(spark: SparkSession, cfg: ShopConfig, out: str) -> dict[str, float]:
    """Write the catalog."""
    seen = Observation()
    added = F.count_if(F.col("defect").isNull() & (F.col("added_at") >= cfg.start.isoformat())).alias("cold")
    rows = reference.catalog_rows(spark, cfg).observe(
        seen, F.count(F.lit(1)).alias("rows"), added, *_count_defects(dirt.CATALOG_DEFECTS)
    )
    writer = rows.drop("defect").write.mode("overwrite").option("header", True).option("escape", '"')
    writer.csv(f"{out}/catalog.csv")
    return dict(seen.get)


def _profiles(spark: SparkSession, cfg: ShopConfig, out: str) -> dict[str, float]:
    """Write the profiles."""
    lines = reference.profile_lines(spark, cfg)
    return _write_lines(lines, f"{out}/profiles", _count_defects(dirt.PROFILE_DEFECTS), by_day=False)


def _truth(spark: SparkSession, cfg: ShopConfig, out: str, rate: float, tasks: int) -> dict[str, float]:
    """Write the true probabilities of shown items, and summarize them."""
    facts = frame_of(spark, cfg, "truth", rate=rate, partitions=tasks)
    facts.write.mode("overwrite").parquet(f"{out}/truth")
    written = spark.read.schema(facts.schema).parquet(f"{out}/truth")
    return summary(written, cold_from=cfg.days - cfg.cold_days)


def _manifest(cfg: ShopConfig, counts: dict[str, dict[str, float]], found: dict[str, float]) -> Manifest:
    """Arrange the counts as a manifest."""
    events = {name: int(value) for name, value in counts["events"].items()}
    planted = {
        "events": dirt.EVENT_DEFECTS,
        "impressions": dirt.IMPRESSION_DEFECTS,
        "catalog": dirt.CATALOG_DEFECTS,
        "profiles": dirt.PROFILE_DEFECTS,
    }
    defects = {kind: {name: int(counts[kind][name]) for name in names} for kind, names in planted.items()}
    lines = {kind: int(counts[kind]["rows"]) for kind in planted}
    return Manifest(
        seed=cfg.seed,
        config=cfg,
        start=cfg.start,
        end=cfg.end,
        days=cfg.days,
        rows={**lines, "shown_items": int(counts["impressions"]["items"] or 0), "truth": int(found["rows"])},
        clean_rows={kind: lines[kind] - sum(defects[kind].values()) for kind in planted},
        defects=defects,
        informational={name: events[name] for name in dirt.EVENT_ODDITIES},
        event_types={name: events[f"type:{name}"] for name in EVENTS},
        anonymous_events=events["anonymous"],
        bots={"users": cfg.n_bots, "events": events["bots"]},
        distinct={"users": int(found["users"]), "items": int(found["items"])},
        cold={"users": int(found["cold_users"]), "items": int(counts["catalog"]["cold"])},
        auc={"sample": cfg.truth_sample} | {name: found[name] for name in AUC_NAMES},
        ctr=found["ctr"],
    )
