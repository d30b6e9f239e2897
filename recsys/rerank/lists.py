"""The steps of `rank`: features and scores of candidates, the weight of the blend, rows of `ranked`.

**Position.** At scoring every candidate is given position 1. A model that learned from shown lists has position as an
input, so that what is due to the place on the page is not put down to the item; asking it for one place for all takes
that effect out of the comparison (position debiasing by a feature that is fixed when serving).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.ctr.serving.bundle import ModelBundle
from recsys.ctr.serving.scoring import score
from recsys.data import RetrieverFeature
from recsys.data.instants import instant_of
from recsys.features.example_features import example_features
from recsys.features.pairs import candidate_pairs
from recsys.rerank.blend import Blend, fit_blend
from recsys.rerank.diversity import PARTS
from recsys.rerank.reasons import with_reasons
from recsys.retrieval.base import Model

RETRIEVAL_ONLY = "retrieval"
"""`model_version` of lists that were made without a ranker."""

CARRIED = (
    "user_id",
    "item_id",
    "candidate_rank",
    "item_category",
    "user_segment",
    "sources",
    "ranks",
    "because_item_id",
)
"""What a scored candidate keeps."""


def newest_model(models: DataFrame, *, kind: str, as_of: datetime) -> Mapping[str, Any] | None:
    """Return the newest model of a kind that learned from nothing at or after `as_of`, if there is one.

    Its row of `models`, but for `created_at`.
    """
    row = (
        models.where((F.col("kind") == kind) & (F.col("as_of") <= F.lit(as_of)))
        .orderBy(F.desc("as_of"), F.desc("created_at"), F.desc("model_version"))
        .select("*", F.unix_micros("as_of").alias("at"))
        .limit(1)
        .first()
    )
    if row is None:
        return None
    # A collected timestamp has no zone and shows the driver's local time.
    kept = {name: value for name, value in row.asDict().items() if name not in ("at", "created_at")}
    return {**kept, "as_of": instant_of(row["at"])}


def scored_candidates(
    candidates: DataFrame,
    *,
    bundle: ModelBundle | None,
    as_of: datetime,
    history_length: int,
    batch_size: int,
    retrieved: Sequence[RetrieverFeature],
    events: DataFrame,
    user_daily: DataFrame,
    item_daily: DataFrame,
    items: DataFrame,
    users: DataFrame,
) -> DataFrame:
    """Compute the features of candidates at `as_of` and score them.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `candidates` of one run.
    bundle : ModelBundle, optional
        The ranker; without one every logit is 0 and there is no prediction.
    retrieved : sequence of RetrieverFeature
        The retrievers' columns among the features.
    events, user_daily, item_daily, items, users : DataFrame
        What `example_features` reads.

    Returns
    -------
    DataFrame
        `CARRIED`, prediction, logit.
    """
    pairs = candidate_pairs(candidates, as_of=as_of, keep=("sources", "because_item_id"))
    featured = example_features(
        pairs,
        history_length=history_length,
        retrieved=retrieved,
        instant=as_of,
        events=events,
        user_daily=user_daily,
        item_daily=item_daily,
        items=items,
        users=users,
    )
    if bundle is None:
        nothing = F.lit(None).cast("double").alias("prediction")
        return featured.select(*CARRIED, nothing, F.lit(0.0).alias("logit"))
    # A retriever that the ranker knew and that is gone since proposes nothing.
    gone = [name for name in bundle.spec.source_columns if name not in featured.columns]
    featured = featured.withColumns({name: F.lit(None).cast("double") for name in gone})
    return score(at_first_position(featured), bundle=bundle, batch_size=batch_size, keep=CARRIED)


def at_first_position(rows: DataFrame) -> DataFrame:
    """Give every row position 1."""
    return rows.withColumn("position", F.lit(1).cast("int"))


def blend_of(
    examples: DataFrame, *, bundle: ModelBundle | None, batch_size: int, k: int, configured: float, fit: bool
) -> Blend:
    """Choose the weight of the retrieval order.

    Parameters
    ----------
    examples : DataFrame
        Validation rows of `ctr_examples` that the ranker was stopped by.
    fit : bool
        Whether to choose at all; otherwise the configured weight stands.
    """
    if bundle is None:
        return Blend(1.0, "the retrieval order alone decides: there is no ranker (run train_ctr)")
    if not fit:
        return Blend(configured, f"retrieval_weight {configured:g} as configured (fit_blend is off)")
    rows = at_first_position(examples.where("candidate_rank IS NOT NULL"))
    keep = ("list_id", "item_id", "label", "sample_rate", "candidate_rank")
    return fit_blend(score(rows, bundle=bundle, batch_size=batch_size, keep=keep), k=k, configured=configured)


def ranked_rows(
    lists: DataFrame,
    *,
    as_of: datetime,
    retrieval_weight: float,
    model_version: str,
    generated_at: datetime,
    events: DataFrame,
    items: DataFrame,
    models: Sequence[Model[Any]],
    rank_constant: float,
) -> DataFrame:
    """Turn lists (of `rerank`) into rows of `ranked`; the evidence for reasons is that of `with_reasons`."""
    parts = [entry for name in PARTS for entry in (F.lit(name), F.col(name))]
    explained = with_reasons(lists, events=events, items=items, models=models, as_of=as_of, rank_constant=rank_constant)
    return explained.select(
        F.lit(as_of.date()).alias("run_date"),
        F.lit(as_of).alias("as_of"),
        "user_id",
        "rank",
        "item_id",
        "score",
        "prediction",
        F.create_map(*parts, F.lit("retrieval_weight"), F.lit(float(retrieval_weight))).alias("score_parts"),
        "sources",
        "reason_code",
        "reason",
        F.lit(model_version).alias("model_version"),
        F.lit(generated_at).alias("generated_at"),
    )
