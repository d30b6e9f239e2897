"""Judging lists by a log: the library's way into the metrics of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data.callers import AnyFrame, column_of, spark_frame
from recsys.data.catalogs import catalog_frame
from recsys.data.log import Log
from recsys.errors import ConfigError, DataError
from recsys.evaluation.coverage import coverage
from recsys.evaluation.evaluate import figures
from recsys.evaluation.metrics import ACCURACY, CONDITIONAL
from recsys.evaluation.truth import item_facts
from recsys.settings import nearest

NAMES = (*ACCURACY, *CONDITIONAL, "coverage")
DEFAULT = ("ndcg@10", "recall@10", "hit_rate@10", "coverage@10")
_STAGE = "lists"


def evaluate(
    lists: AnyFrame,
    test: Log,
    *,
    metrics: Sequence[str] = DEFAULT,
    items: AnyFrame | None = None,
    resamples: int = 1000,
    seed: int = 7,
) -> DataFrame:
    """Judge lists by what users went on to do.

    Every user of `test` counts, those without a list as zero; users outside `test` do not.

    Parameters
    ----------
    lists : DataFrame or pandas.DataFrame
        `user_id` and `item_id` (or the log's own column names), `rank` from 1; of any model.
    test : Log
        What is relevant: every pair of user and item in it. The second half of `Log.split`, as a rule.
    metrics : sequence of str
        `name@k`; names are ndcg, recall, precision, map, mrr, hit_rate, novelty, diversity and coverage, defined in
        `recsys.evaluation.metrics`.
    items : DataFrame or pandas.DataFrame, optional
        The catalog that coverage is a share of, with `category` where diversity is wanted; by default the items of
        the log that `test` was split from.
    resamples, seed : int
        Of the Poisson bootstrap over users that gives the intervals.

    Returns
    -------
    DataFrame
        `metric, k, value, ci_low, ci_high, n`, in the order of `metrics`: the 95 % interval, and how many users (for
        coverage: items) the figure counts.

    Raises
    ------
    ConfigError
        If a metric is not known or named twice, or there is none, or no resample.
    DataError
        If a column is missing, an item or a rank occurs twice in a list, or there is nothing to compare with.
    """
    wanted = _wanted(metrics)
    if resamples < 1:
        raise ConfigError(f"resamples is {resamples}; intervals need at least 1")
    ks = sorted({k for _, k in wanted})
    frame = _ranked(lists, test)
    relevant = test.events.where(~F.col("is_bot")).select("user_id", "item_id").distinct()
    population = relevant.groupBy("user_id").agg(F.count("*").cast("int").alias("n_relevant"))
    population = population.select("*", F.array(F.lit("all")).alias("slices"))
    facts = _facts(test, items, wanted)
    staged = frame.select(F.lit(_STAGE).alias("stage"), "user_id", "rank", "item_id")
    found = figures(
        staged,
        relevant=relevant,
        population=population,
        facts=facts,
        ks=ks,
        resamples=resamples,
        seed=seed,
        stages=[_STAGE],
        differences=[],
    )
    if any(name == "coverage" for name, _ in wanted):
        found = found.unionByName(coverage(staged, population=population, facts=facts, ks=ks))
    return _in_order(found, wanted)


def _in_order(found: DataFrame, wanted: Sequence[tuple[str, int]]) -> DataFrame:
    """The wanted figures, in the order in which they were named."""
    places = [
        F.struct(F.lit(name).alias("metric"), F.lit(k).alias("k"), F.lit(place).alias("place"))
        for place, (name, k) in enumerate(wanted)
    ]
    order = found.sparkSession.range(1).select(F.inline(F.array(*places)))
    rows = order.join(found, on=["metric", "k"], how="left").orderBy("place")
    return rows.select("metric", "k", "value", "ci_low", "ci_high", "n")


def _wanted(metrics: Sequence[str]) -> list[tuple[str, int]]:
    if isinstance(metrics, str):
        raise ConfigError(f"metrics is {metrics!r}; give a list, such as [{metrics!r}]")
    wanted = [_parsed(metric) for metric in metrics]
    if not wanted:
        raise ConfigError(f"metrics is empty; give at least one, such as {DEFAULT[0]}")
    for place, (name, k) in enumerate(wanted):
        if (name, k) in wanted[:place]:
            raise ConfigError(f"metrics has {name}@{k} twice; name it once")
    return wanted


def _parsed(metric: str) -> tuple[str, int]:
    name, _, cut = metric.partition("@")
    if name not in NAMES:
        raise ConfigError(f"metric {metric!r} is not known; {nearest(name, NAMES, 'known are')}")
    if not (cut.isascii() and cut.isdigit()) or int(cut) < 1:
        raise ConfigError(f"metric {metric!r} has no cut-off; write for example {name}@10")
    return name, int(cut)


def _ranked(lists: AnyFrame, test: Log) -> DataFrame:
    """Lists with the project's ids, checked to hold each rank and each item once per user."""
    frame = test.ids.adopt(spark_frame(lists, like=test.events))
    for name in ("user_id", "item_id", "rank"):
        column_of(frame, name)
    frame = frame.select("user_id", "item_id", F.col("rank").cast("int").alias("rank"))
    counts = frame.groupBy("user_id").agg(
        F.count("*").alias("n"), F.countDistinct("rank").alias("ranks"), F.countDistinct("item_id").alias("items")
    )
    broken = counts.agg(
        F.count_if(F.col("ranks") < F.col("n")).alias("ranks"), F.count_if(F.col("items") < F.col("n")).alias("items")
    ).first()
    for column, what in (("ranks", "a rank"), ("items", "an item")):
        if broken is not None and broken[column]:
            raise DataError(f"{broken[column]:,} of the lists hold {what} twice, or a null; give each user one list")
    return frame.where(F.col("rank") >= 1)


def _facts(test: Log, items: AnyFrame | None, wanted: Sequence[tuple[str, int]]) -> DataFrame:
    """What metrics need to know of items; the log before says how well known an item is."""
    needed = [name for name, _ in wanted if name in ("coverage", "novelty")]
    if needed and test.past is None and items is None:
        raise DataError(
            f"{needed[0]} compares with the log before; make `test` with Log.split, or give the catalog as items="
        )
    past = test.past or test
    if items is None:
        category, available = F.lit(None).cast("string").alias("category"), F.lit(True).alias("available")
        nothing = past.events.select("item_id", category, available).limit(0)
        return item_facts(past.events, nothing, as_of=past.as_of)
    given = test.ids.adopt(spark_frame(items, like=past.events))
    category = F.col("category").cast("string") if "category" in given.columns else F.lit(None).cast("string")
    named = given.groupBy("item_id").agg(F.min(category).alias("category"))
    catalog = catalog_frame(items, test.ids, like=past.events).join(named, on="item_id", how="left")
    listed = catalog.select("item_id", F.col("available").alias("listed"))
    facts = item_facts(past.events, catalog, as_of=past.as_of).join(listed, on="item_id", how="left")
    return facts.withColumn("in_catalog", F.coalesce("listed", F.lit(False))).drop("listed")
