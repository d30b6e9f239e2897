"""`make demo`: the whole pipeline on a synthetic shop, and a summary for people.

python -m recsys.demo [--events N] [--dir DIR] [--set KEY=VALUE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, load_config
from recsys.errors import RecsysError
from recsys.evaluation.truth import judged_lists
from recsys.evaluation.value import value_figures
from recsys.pipeline import graph
from recsys.pipeline.job import load_jobs
from recsys.pipeline.shipped import shipped
from recsys.pipeline.summary import aligned, heading, summarize
from recsys.progress import recording, step
from recsys.retrieval.registry import RANKER
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.synthetic import ShopConfig, generate
from recsys.synthetic.manifest import Manifest
from recsys.synthetic.value import day_of, true_click_probability

EVENTS = 150_000
HORIZON_DAYS = 7
"""Days at the end of the log by which the recommendations are judged."""
VALUED = 10
"""How many items of a list are valued."""
STAGES = ("candidates", "ranker", "final")
_LATER = {"Invocation": 20_000, "MinInvocation": 2_400, "Compile": 60_000, "BackEdge": 160_000}
_JVM = " ".join(["-XX:+UseParallelGC", *(f"-XX:Tier4{name}Threshold={n}" for name, n in _LATER.items())])
"""For a JVM that runs for minutes on few cores: the collector with the best throughput, and a second compiler that
waits for four times the default counts. With the defaults it takes about a quarter of the CPU."""
SHORT = (
    "train_ctr.epochs=3",
    "ctr_examples.window_days=14",
    "candidates.k=50",
    f"spark.conf.spark.driver.extraJavaOptions={_JVM}",
)
"""Settings that keep the demo short. `--set` overrides them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Make the shop, run the pipeline, print what came out."""
    parser = argparse.ArgumentParser(prog="recsys.demo", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS, help=f"user actions of the shop (default {EVENTS:,})")
    parser.add_argument("--dir", default="demo", help="where the raw logs and the warehouse go (default ./demo)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args(argv)
    try:
        print(run_demo(flags.events, Path(flags.dir), flags.set))
    except RecsysError as error:
        sys.stderr.write(f"\nrecsys: {error}\n")
        sys.exit(error.exit_code)


def run_demo(events: int, folder: Path, overrides: Sequence[str] = ()) -> str:
    """Run the whole pipeline on a synthetic shop and return the summary; a shop that is there is used again."""
    started = time.monotonic()
    raw, tables, jobs = folder / f"raw-{events}", folder / f"warehouse-{events}", load_jobs(shipped("jobs"))
    config = load_config(
        [shipped("conf") / "local.yaml"],
        dataset=shipped("conf") / "datasets" / "synthetic-shop.yaml",
        overrides=[f"input.root={raw}", f"warehouse.path={tables}", *SHORT, *overrides],
    )
    print(announcement(events, raw, config, graph.ordered(jobs)), flush=True)
    spark = build_session(config, "recsys demo")
    if not (raw / "manifest.json").is_file():
        with recording("synthetic"), step(f"write the raw logs of a shop to {raw}") as this:
            this.rows = generate(spark, ShopConfig.for_events(events), str(raw)).rows["events"]
    manifest = json.loads((raw / "manifest.json").read_text(encoding="utf-8"))
    as_of = datetime.fromisoformat(manifest["end"]).replace(tzinfo=UTC) - timedelta(days=HORIZON_DAYS)
    outcomes = graph.run_pipeline(spark, config, as_of, jobs)
    more = about_the_shop(spark, config, as_of, raw)
    more.append(f"\nThe demo took {time.monotonic() - started:,.0f} s.")
    return summarize(spark, config, as_of, outcomes, more=more)


def announcement(events: int, raw: Path, config: Config, jobs: Sequence[str]) -> str:
    """Say what the demo will do, before it does it."""
    minutes = 5 + 2 * events / 150_000
    return (
        f"A synthetic shop with {events:,} user actions: raw logs in {raw} (made first, unless they are there).\n"
        f"Then the pipeline: {', '.join(jobs)}.\n"
        f"Tables, model and report go to {config.warehouse.path}. About {minutes:.0f} minutes on two cores; "
        "a summary is printed at the end.\n"
    )


def about_the_shop(spark: SparkSession, config: Config, as_of: datetime, raw: Path) -> list[str]:
    """What only a shop with a known truth can show, and a few lists."""
    warehouse = Warehouse(spark, config.warehouse)
    lists = warehouse.read(data.RECOMMENDATIONS, where={"run_date": as_of.date(), "as_of": as_of})
    return [
        heading("The ranker"),
        _verdict(warehouse, as_of),
        heading("Clicks on shown items: the ranker beside what is possible"),
        _ceiling(spark, warehouse, as_of, raw),
        heading("What the first ten are worth: mean true click probability, and regret against the best candidates"),
        _worth(value_of_lists(spark, warehouse, as_of, raw)),
        heading("Five users"),
        _five_users(lists),
    ]


def value_of_lists(spark: SparkSession, warehouse: Warehouse, as_of: datetime, raw: Path) -> list[Row]:
    """Return the rows of `truep` and `regret` at 10 of the union of the retrievers, of the ranker and of the lists."""
    today = {"run_date": as_of.date(), "as_of": as_of}
    candidates = warehouse.read(data.CANDIDATES, where=today)
    lists = judged_lists(
        candidates=candidates,
        ranked=warehouse.read(data.RANKED, where=today),
        recommendations=warehouse.read(data.RECOMMENDATIONS, where=today),
        baselines={},
        depth=VALUED,
    )
    shop = Manifest.load(str(raw)).config
    day = day_of(shop, as_of)
    figures = value_figures(
        true_click_probability(lists.where(lists["stage"].isin(*STAGES)), shop, day=day),
        candidates=true_click_probability(candidates.select("user_id", "item_id"), shop, day=day),
        k=VALUED,
        stages=STAGES,
        differences=[("final", "candidates")],
    )
    return figures.where("slice = 'all'").collect()


def _worth(figures: Sequence[Row]) -> str:
    cells = {(row["stage"], row["metric"]): row for row in figures}
    names = [name for name in (*STAGES, "final-candidates") if (name, "truep") in cells]
    rows = [(name, *(_with_ends(cells[name, metric]) for metric in ("truep", "regret"))) for name in names]
    return aligned(("stage", f"truep@{VALUED}", f"regret@{VALUED}"), rows)


def _with_ends(row: Row) -> str:
    return f"{row['value']:.4f} [{row['ci_low']:.4f}, {row['ci_high']:.4f}]"


def _verdict(warehouse: Warehouse, as_of: datetime) -> str:
    """Whether lists are ranked by it, and what other weights of its heads would have given."""
    of_today = {"kind": RANKER, "as_of": as_of}
    found = warehouse.read(data.MODELS, where=of_today, required=False).select("verdict", "curve").first()
    if found is None:
        return "no ranker was trained"
    points = [
        (
            point["head"],
            f"{point['weight']:g}",
            f"{point['ndcg']:.4f}",
            "" if point["snips"] is None else f"{point['snips']:.4f}",
        )
        for point in found["curve"] or ()
    ]
    return "\n".join([found["verdict"], *([aligned(("head", "weight", "ndcg", "snips"), points)] if points else [])])


def _ceiling(spark: SparkSession, warehouse: Warehouse, as_of: datetime, raw: Path) -> str:
    """The ranker's AUC on its test split between popularity's and that of the true probabilities, same rows."""
    of_today = {"kind": RANKER, "as_of": as_of}
    found = warehouse.read(data.MODELS, where=of_today, required=False).select("metrics").first()
    figures = found["metrics"] if found else {}
    if "click_test_auc_raw" not in figures:
        return "there is no model of clicks, or its test split is too small to judge it"
    ceiling = _auc_of_truth(spark, warehouse, as_of, raw)
    model, popular = figures["click_test_auc_raw"], figures["click_test_auc_popularity"]
    reached = (model - popular) / (ceiling - popular)
    return (
        f"AUC on the test split: popularity {popular:.4f}, ranker {model:.4f}, true probabilities {ceiling:.4f}\n"
        f"gap to what is possible {ceiling - model:.4f}; {reached:.0%} of the way from popularity"
    )


def _auc_of_truth(spark: SparkSession, warehouse: Warehouse, as_of: datetime, raw: Path) -> float:
    from pyspark.ml.evaluation import BinaryClassificationEvaluator

    truth = spark.read.parquet(str(raw / "truth")).select("list_id", "item_id", "p_click_true")
    shown = {**data.slice_of(as_of), "split": "test", "origin": "lists"}
    test = warehouse.read(data.CTR_EXAMPLES, where=shown)
    judged = test.select("list_id", "item_id", "label").join(truth, on=["list_id", "item_id"], how="inner")
    evaluator = BinaryClassificationEvaluator(rawPredictionCol="p_click_true", labelCol="label", numBins=0)
    return float(evaluator.evaluate(judged))


def _five_users(recommendations: DataFrame) -> str:
    top = recommendations.where("rank <= 3")
    users = top.select("user_id").distinct().orderBy(F.xxhash64("user_id"), "user_id").limit(5)
    chosen = top.join(F.broadcast(users), on="user_id", how="inner")
    columns = ("user_id", "rank", "title", "score", "reason")
    rows = chosen.select(*columns).orderBy("user_id", "rank").collect()
    return aligned(columns, [(user, rank, title, f"{score:.3f}", reason) for user, rank, title, score, reason in rows])


if __name__ == "__main__":
    main()
