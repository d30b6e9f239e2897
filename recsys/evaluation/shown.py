"""What was shown and clicked in the horizon, and what the stages' lists would have earned: rows of `metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.evaluation.offpolicy import CORRECTED, ESS, SNIPS, estimates, snips_sums
from recsys.evaluation.stages import Stages
from recsys.features.examples import with_outcomes


def shown_within(impressions: DataFrame, events: DataFrame, *, as_of: datetime, horizon_days: int) -> DataFrame:
    """Return the impressions of the horizon, each with what came of it until its end.

    Parameters
    ----------
    impressions, events : DataFrame
        Rows of `recsys.data.IMPRESSIONS` and `recsys.data.EVENTS`, of any time.

    Returns
    -------
    DataFrame
        user_id, item_id, position, label (1, or 0 without a click until the end of the horizon), propensity, is_bot;
        what a click is, `recsys.features.examples.with_outcomes` says.
    """
    until = as_of + timedelta(days=horizon_days)
    shown = _within(impressions, "shown_at", as_of, until).where(~F.col("is_bot"))
    found = with_outcomes(shown, _within(events, "event_time", as_of, until))
    return found.select("user_id", "item_id", "position", "label", "propensity", "is_bot")


def shown_sums(
    lists: DataFrame,
    shown: DataFrame,
    *,
    stages: Stages,
    ks: Sequence[int],
    effects: DataFrame | None,
    clip: float,
    resamples: int,
    seed: int,
) -> DataFrame:
    """Add up the matches of every stage at every cut-off, in one pass; see `recsys.evaluation.offpolicy.snips_sums`.

    Parameters
    ----------
    lists : DataFrame
        stage, user_id, rank, item_id.
    shown : DataFrame
        What `shown_within` returns.
    """
    cuts = F.explode(F.filter(F.array(*map(F.lit, sorted(set(ks)))), lambda k: k >= F.col("rank")))
    at = lists.select("stage", "user_id", "rank", "item_id", cuts.alias("k"))
    labeled = at.select(F.concat_ws("@", "stage", "k").alias("stage"), "user_id", "rank", "item_id")
    return snips_sums(
        labeled,
        shown,
        k=max(ks),
        effects=effects,
        clip=clip,
        stages=_labels(stages, ks),
        resamples=resamples,
        seed=seed,
    )


def shown_figures(
    sums: DataFrame,
    *,
    stages: Stages,
    ks: Sequence[int],
    resamples: int,
    corrected: bool,
    differences: Sequence[tuple[str, str]] | None = None,
) -> DataFrame:
    """Turn sums into figures: `snips_ctr`, `snips_ess`, and `ctr_corrected` where positions have effects.

    Parameters
    ----------
    sums : DataFrame
        `shown_sums`, of one instant or of several together.
    corrected : bool
        Whether effects of positions were given.
    differences : sequence of (str, str), optional
        Pairs of stages to compare; those of `stages` by default.

    Returns
    -------
    DataFrame
        The columns of `recsys.evaluation.evaluate.figures`; n counts the users with a match. A stage that matches
        nothing has no row.
    """
    pairs = stages.differences if differences is None else differences
    both = [(f"{a}@{k}", f"{b}@{k}") for a, b in pairs for k in sorted(set(ks))]
    found = estimates(sums, stages=_labels(stages, ks), differences=both, resamples=resamples)
    nothing = F.lit(None).cast("double")
    alone = ~F.col("stage").contains("-")
    rows = [
        _figure(F.lit(SNIPS), "value", F.col("ci_low"), F.col("ci_high")),
        _figure(F.when(alone, ESS), "ess", nothing, nothing),
    ]
    if corrected:
        rows.append(_figure(F.lit(CORRECTED), "corrected", F.col("corrected_low"), F.col("corrected_high")))
    return (
        found.select("stage", F.col("users").alias("n"), F.explode(F.array(*rows)).alias("row"))
        .where(F.col("row.metric").isNotNull())
        .select(
            F.regexp_replace("stage", "@[0-9]+", "").alias("stage"),
            F.lit("all").alias("slice"),
            "row.metric",
            F.regexp_extract("stage", "@([0-9]+)", 1).cast("int").alias("k"),
            "row.value",
            "row.ci_low",
            "row.ci_high",
            "n",
        )
    )


def _within(frame: DataFrame, time: str, since: datetime, until: datetime) -> DataFrame:
    return frame.where((F.col(time) >= F.lit(since)) & (F.col(time) < F.lit(until)))


def _labels(stages: Stages, ks: Sequence[int]) -> list[str]:
    return [f"{stage}@{k}" for stage in stages.names for k in sorted(set(ks))]


def _figure(metric: Column, value: str, low: Column, high: Column) -> Column:
    return F.struct(metric.alias("metric"), F.col(value).alias("value"), low.alias("ci_low"), high.alias("ci_high"))
