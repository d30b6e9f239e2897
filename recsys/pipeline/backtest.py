"""The pipeline at several past instants, judged at each and over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config, config_json, stamp, version_of
from recsys.errors import ConfigError, NothingToDo
from recsys.evaluation.judged import Judged
from recsys.evaluation.pooled import backtest_rows, figures_over, members
from recsys.evaluation.stages import Stages
from recsys.pipeline import graph
from recsys.pipeline.context import Context
from recsys.pipeline.job import Job, execute
from recsys.pipeline.judging import READS, judged_day, stages_of
from recsys.progress import note, step
from recsys.rerank.lists import RETRIEVAL_ONLY
from recsys.store import Replace, Writes


class Instant(NamedTuple):
    """What is kept of one instant: sums, whose size depends on the config alone, and its users."""

    as_of: datetime
    sums: DataFrame
    shown: DataFrame | None
    members: DataFrame
    corrected: bool


def instants(
    as_of: datetime,
    *,
    first: datetime | None = None,
    last: datetime | None = None,
    every: int = 7,
    count: int | None = None,
) -> list[datetime]:
    """Return the instants of a back-test, ascending.

    Parameters
    ----------
    as_of : datetime
        The last instant, where `count` is given.
    first, last : datetime, optional
        The first instant, and the bound that none lies after.
    every : int
        Days between instants.
    count : int, optional
        How many instants to go back from `as_of`, that one included.

    Raises
    ------
    ConfigError
        If it is not clear which instants are meant, or there is none.
    """
    if every < 1:
        raise ConfigError(f"--every {every}: instants are at least one day apart")
    if count is not None:
        if first is not None or last is not None:
            raise ConfigError("give either --instants, which go back from --as-of, or --first and --last")
        if count < 1:
            raise ConfigError(f"--instants {count}: a back-test has at least one instant")
        return [as_of - timedelta(days=every * back) for back in reversed(range(count))]
    if first is None or last is None:
        raise ConfigError("a back-test needs its instants: --instants N with --as-of, or --first and --last")
    if first > last:
        raise ConfigError(f"--first {first:%Y-%m-%d} lies after --last {last:%Y-%m-%d}")
    return [first + timedelta(days=every * n) for n in range((last - first) // timedelta(days=every) + 1)]


def name_of(config: Config, ats: Sequence[datetime]) -> str:
    """Name a back-test by its last instant and a hash of all that decides it; the same again replaces its rows."""
    return version_of("backtest", ats[-1], ",".join(map(stamp, ats)), config_json(config))


def run_backtest(spark: SparkSession, config: Config, ats: Sequence[datetime], jobs: graph.Jobs) -> str:
    """Run the pipeline up to the lists at each instant, then judge them all into one slice of `backtests`.

    What is done for an instant is not done again, so a back-test that was stopped goes on where it was.

    Returns
    -------
    str
        Name of the back-test.

    Raises
    ------
    NothingToDo
        If no instant has lists and users to judge them by.
    """
    makes_lists, judges = (
        next(job for job in jobs.values() if table in job.writes) for table in (data.RECOMMENDATIONS, data.METRICS)
    )
    for at in ats:
        graph.run_pipeline(spark, config, at, jobs, last=makes_lists.name)
    backtest = name_of(config, ats)
    judge = Job(
        "backtest",
        lambda context: _judge_all(context, backtest, ats),
        reads=READS,
        writes=(data.BACKTESTS,),
        config=judges.config,
    )
    execute(judge, spark, config, ats[-1])
    return backtest


def _judge_all(context: Context, backtest: str, ats: Sequence[datetime]) -> Writes:
    """Judge every instant, then all together; one commit replaces the slice."""
    stages, written = _stages(context, ats), context.scratch()
    found, rows = [], []
    for at in ats:
        try:
            with step(f"judge {at:%Y-%m-%d}"):
                one, figures = _judge(context, at, stages, written)
        except NothingToDo as reason:
            note(f"{stamp(at)}: {reason}")
            continue
        found.append(one)
        rows.append(backtest_rows(figures, backtest=backtest, as_of=at, distinct=None))
    if not found:
        raise NothingToDo("no instant has users to judge by: choose others, or raise evaluate.horizon_days")
    everybody = reduce(DataFrame.unionByName, [one.members for one in found])
    distinct = everybody.groupBy("slice").agg(F.countDistinct("user_id").alias("users"))
    rows.append(backtest_rows(_figures(context, stages, found), backtest=backtest, as_of=None, distinct=distinct))
    return Writes([Replace(data.BACKTESTS, reduce(DataFrame.unionByName, rows), {"backtest": backtest})])


def _stages(context: Context, ats: Sequence[datetime]) -> Stages:
    """What can be judged at every instant: the ranker's own order only if it made the lists of each."""
    ranked = True
    for at in ats:
        where = {"run_date": at.date(), "as_of": at}
        first = context.warehouse.read(data.RECOMMENDATIONS, where=where).select("model_version").first()
        ranked &= first is None or first["model_version"] != RETRIEVAL_ONLY
    return replace(stages_of(context.config), ranked=ranked)


def _judge(
    context: Context, at: datetime, stages: Stages, written: Callable[[DataFrame], DataFrame]
) -> tuple[Instant, DataFrame]:
    """Judge one instant; `written` cuts the plans, which for several instants together would take longer than rows."""
    judged: Judged = judged_day(replace(context, as_of=at), written)
    shown = judged.shown_sums(stages)
    one = Instant(
        at,
        written(judged.sums(stages)),
        None if shown is None else written(shown),
        written(members(judged.population)),
        judged.day.effects is not None,
    )
    return one, written(_figures(context, stages, [one]))


def _figures(context: Context, stages: Stages, found: Sequence[Instant]) -> DataFrame:
    rules = context.config.evaluate
    return figures_over(
        [one.sums for one in found],
        [one.shown for one in found if one.shown is not None],
        stages=stages,
        ks=rules.ks,
        resamples=rules.bootstrap,
        corrected=all(one.corrected for one in found),
    )
