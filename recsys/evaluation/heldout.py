"""Held-out candidates as a ranker's choice needs them: scored by every head, beside what logged impressions tell."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.ctr.heads import Heads
from recsys.ctr.serving.together import score_heads
from recsys.evaluation.offpolicy import examined, logged
from recsys.features.examples import CANDIDATES
from recsys.rerank.lists import at_first_position

_KEPT = ("list_id", "user_id", "item_id", "split", "label", "candidate_rank", "plain_score", "example_time")


def held_out(
    examples: DataFrame,
    impressions: DataFrame,
    heads: Heads,
    *,
    batch_size: int,
    horizon_days: int,
    effects: DataFrame | None,
    clip: float,
    plain: Column,
) -> DataFrame:
    """Score held-out candidates, and add the impressions of each within the horizon after its instant.

    Parameters
    ----------
    examples : DataFrame
        Rows of `ctr_examples`; candidates of `valid` and `test` are taken.
    impressions : DataFrame
        Rows of `recsys.data.IMPRESSIONS`.
    batch_size : int
        Rows scored at once.
    horizon_days : int
        Days after an instant whose impressions count.
    effects, clip
        As in `recsys.evaluation.offpolicy.snips`.
    plain : Column
        Score in the union by the weights of the config, of a row of `examples`.

    Returns
    -------
    DataFrame
        What `recsys.evaluation.choice.choose` takes.
    """
    rows = examples.where((F.col("origin") == CANDIDATES) & F.col("split").isin("valid", "test"))
    known = at_first_position(rows).withColumn("plain_score", plain)
    scored = score_heads(known, bundles=heads.bundles, batch_size=batch_size, keep=_KEPT)
    instants = rows.select(F.col("example_time").alias("_from")).distinct()
    until = F.col("_from") + F.expr(f"INTERVAL {int(horizon_days)} DAYS")
    inside = impressions.join(
        F.broadcast(instants), on=(F.col("shown_at") >= F.col("_from")) & (F.col("shown_at") < until), how="inner"
    )
    shown = examined(logged(inside, clip=clip), effects)
    joined = scored.join(shown, on=["user_id", "item_id"], how="left")
    return joined.withColumns({name: F.coalesce(name, F.lit(0.0)) for name in ("examined", "clicked")})
