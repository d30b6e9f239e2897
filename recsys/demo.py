"""`make demo`: the whole line on a synthetic shop of a million events, and a summary that a person can read.

python -m recsys.demo [--events N] [--dir DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import tables
from recsys.config import Config, load_config, stamp
from recsys.errors import RecsysError
from recsys.io import Warehouse
from recsys.progress import recording, step
from recsys.runner import line
from recsys.runner.shipped import shipped
from recsys.spark import build_session
from recsys.synthetic import ShopConfig, generate

ROOT = Path(__file__).parents[1]
HORIZON_DAYS = 7
"""Days at the end of the log that the recommendations are judged by."""
_LATER = {"Invocation": 20_000, "MinInvocation": 2_400, "Compile": 60_000, "BackEdge": 160_000}
_JVM = " ".join(["-XX:+UseParallelGC", *(f"-XX:Tier4{name}Threshold={n}" for name, n in _LATER.items())])
"""For a JVM that lives some minutes on few cores: the collector with the best throughput, and methods optimized after
four times the default counts. With the defaults the optimizing compiler takes about a quarter of the CPU."""
SHORT = (
    "ctr.epochs=3",
    "examples.window_days=14",
    "candidates.k=50",
    f"spark.conf.spark.driver.extraJavaOptions={_JVM}",
)
"""Settings that keep the demo within ten minutes. `--set` overrides them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Make the shop, run the line, print what came out."""
    parser = argparse.ArgumentParser(prog="recsys.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="user actions of the shop (default 1,000,000)")
    parser.add_argument("--dir", default="demo", help="where the raw logs and the warehouse go (default ./demo)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args(argv)
    try:
        print(run_demo(flags.events, Path(flags.dir), flags.set))
    except RecsysError as error:
        sys.stderr.write(f"\nrecsys: {error}\n")
        sys.exit(error.exit_code)


def run_demo(events: int, folder: Path, overrides: Sequence[str] = ()) -> str:
    """Run the whole line on a new synthetic shop and return the summary."""
    started = time.monotonic()
    raw = folder / f"raw-{events}"
    config = load_config(
        [shipped("conf") / "local.yaml"],
        dataset=shipped("conf") / "datasets" / "synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse.path={folder / f'warehouse-{events}'}", *SHORT, *overrides],
    )
    spark = build_session(config, "recsys demo")
    if not (raw / "manifest.json").is_file():
        with recording("synthetic"), step(f"write the raw logs of a shop to {raw}") as this:
            this.rows = generate(spark, ShopConfig.for_events(events), str(raw)).rows["events"]
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    as_of = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC) - timedelta(days=HORIZON_DAYS)
    jobs = line.load_jobs(shipped("jobs"))
    outcomes = line.run_line(spark, config, as_of, jobs)
    parts = [
        _title(f"The line as of {as_of:%Y-%m-%d} on {manifest['rows']['events']:,} events"),
        line.summary(outcomes),
        *summarise(spark, config, as_of, raw),
        f"\nThe whole demo took {time.monotonic() - started:,.0f} s.",
    ]
    return "\n".join(parts)


def summarise(spark: SparkSession, config: Config, as_of: datetime, raw: Path) -> list[str]:
    """Tell of the tables, the quarantine, the metrics, the model and a few users, as text."""
    warehouse = Warehouse(spark, config.warehouse)
    day = {"run_date": as_of.date()}
    metrics = warehouse.read(tables.METRICS, where=day)
    return [
        _title("Rows per table"),
        _rows_per_table(warehouse),
        _title("Quarantine by reason"),
        _show(_quarantine(warehouse)),
        _title(f"The next {config.evaluation.horizon_days} days, all users with something to find (95 % intervals)"),
        _show(_by_stage(metrics)),
        _title("Is the final list better than popularity?"),
        _show(_differences(metrics)),
        _title("The ranker beside what is possible"),
        _ceiling(spark, warehouse, as_of, raw),
        _title("Five users"),
        _show(_five_users(warehouse.read(tables.RECOMMENDATIONS, where=day))),
        _title("Where to look"),
        f"tables       {warehouse.root}/<table>  (Delta; docs/tables.md, docs/sql.md)",
        f"report       {warehouse.path('reports', stamp(as_of), 'report.html')}",
        f"TensorBoard  tensorboard --logdir {warehouse.path('tensorboard')}",
    ]


def _rows_per_table(warehouse: Warehouse) -> str:
    counts = warehouse.counts(tables.ALL)
    return "\n".join(f"{name:<18} {rows:>12,}  {tables.BY_NAME[name].comment}" for name, rows in counts.items())


def _quarantine(warehouse: Warehouse) -> DataFrame:
    reasons = warehouse.read(tables.QUARANTINE).select("target_table", F.explode("reasons").alias("reason"), "copies")
    counted = reasons.groupBy("target_table", "reason").agg(F.sum("copies").alias("rows"))
    return counted.orderBy("target_table", F.col("rows").desc(), "reason")


def _by_stage(metrics: DataFrame) -> DataFrame:
    shown = metrics.where("slice = 'all' AND k = 10 AND metric IN ('ndcg', 'recall', 'hit_rate', 'coverage')")
    shown = shown.where("stage NOT LIKE '%-%'")
    figure = F.concat(
        F.format_number("value", 4),
        F.when(F.col("ci_low").isNull(), "").otherwise(
            F.concat(F.lit(" ["), F.format_number("ci_low", 4), F.lit(", "), F.format_number("ci_high", 4), F.lit("]"))
        ),
    )
    by_stage = shown.groupBy("stage").pivot("metric", ["ndcg", "recall", "hit_rate", "coverage"])
    return (
        by_stage.agg(F.first(figure))
        .orderBy(F.col("ndcg").desc())
        .select("stage", *(F.col(name).alias(f"{name}@10") for name in ("ndcg", "recall", "hit_rate", "coverage")))
    )


def _differences(metrics: DataFrame) -> DataFrame:
    paired = metrics.where("stage = 'final-popular' AND slice = 'all' AND k = 10 AND metric IN ('ndcg', 'recall')")
    return paired.select(
        "metric",
        F.round("value", 4).alias("final minus popular"),
        F.round("ci_low", 4).alias("low"),
        F.round("ci_high", 4).alias("high"),
        F.when(F.col("ci_low") > 0, "yes")
        .when(F.col("ci_high") < 0, "no, worse")
        .otherwise("not proven")
        .alias("better"),
        F.col("n").alias("users"),
    ).orderBy("metric")


def _ceiling(spark: SparkSession, warehouse: Warehouse, as_of: datetime, raw: Path) -> str:
    """The ranker's AUC on its test split between popularity's and that of the true probabilities, same rows."""
    found = warehouse.read(tables.MODELS, where={"kind": "ctr", "as_of": as_of}).select("metrics").first()
    if found is None:
        return "no ranker was trained"
    figures = found["metrics"]
    if "test_auc_raw" not in figures:
        return "the test split is too small to judge the ranker"
    ceiling = _auc_of_truth(spark, warehouse, as_of, raw)
    model, popular = figures["test_auc_raw"], figures["test_auc_popularity"]
    reached = (model - popular) / (ceiling - popular)
    return (
        f"AUC on the test split: popularity {popular:.4f}, ranker {model:.4f}, true probabilities {ceiling:.4f}\n"
        f"gap to what is possible {ceiling - model:.4f}; {reached:.0%} of the way from popularity"
    )


def _auc_of_truth(spark: SparkSession, warehouse: Warehouse, as_of: datetime, raw: Path) -> float:
    from pyspark.ml.evaluation import BinaryClassificationEvaluator

    truth = spark.read.parquet(str(raw / "truth")).select("list_id", "item_id", "p_click_true")
    test = warehouse.read(tables.CTR_EXAMPLES, where={"as_of": as_of, "split": "test"})
    judged = test.select("list_id", "item_id", "label").join(truth, on=["list_id", "item_id"], how="inner")
    evaluator = BinaryClassificationEvaluator(rawPredictionCol="p_click_true", labelCol="label", numBins=0)
    return float(evaluator.evaluate(judged))


def _five_users(recommendations: DataFrame) -> DataFrame:
    top = recommendations.where("rank <= 3")
    users = top.select("user_id").distinct().orderBy(F.xxhash64("user_id"), "user_id").limit(5)
    chosen = top.join(F.broadcast(users), on="user_id", how="inner")
    return chosen.select("user_id", "rank", "title", F.round("score", 3).alias("score"), "reason").orderBy(
        "user_id", "rank"
    )


def _show(frame: DataFrame) -> str:
    rows = frame.limit(60).collect()
    cells = [list(frame.columns), *([("" if value is None else str(value)) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(frame.columns))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _title(text: str) -> str:
    return f"\n{text}\n{'=' * len(text)}"


if __name__ == "__main__":
    main()
