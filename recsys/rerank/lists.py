"""The steps of `rank`: features and scores of candidates, rows of `ranked`.

**Position.** At scoring every candidate is given position 1. A model that learned from shown lists has position as an
input, so that what is due to the place on the page is not put down to the item; asking it for one place for all takes
that effect out of the comparison (position debiasing by a feature that is fixed when serving).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.ctr.heads import ENGAGE, Heads
from recsys.ctr.serving.skew import require_similar, skew
from recsys.ctr.serving.together import score_heads
from recsys.data import INPUT_SKEW, AttributeFeature, RetrieverFeature
from recsys.data.instants import instant_of
from recsys.features.example_features import example_features
from recsys.features.pairs import candidate_pairs
from recsys.features.shown import ShownLists
from recsys.rerank.diversity import PARTS
from recsys.rerank.reasons import with_reasons
from recsys.retrieval.base import Model

SMALLEST = 1e-9
"""Probabilities below it count as this in a logarithm."""
DECIMALS = 9
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


def newest_model(
    models: DataFrame, *, kind: str, as_of: datetime, version: str | None = None
) -> Mapping[str, Any] | None:
    """Return the newest model of a kind, or the one of a version, that learned from nothing at or after `as_of`.

    Its row of `models`, but for `created_at`.
    """
    wanted = F.lit(True) if version is None else F.col("model_version") == version
    row = (
        models.where((F.col("kind") == kind) & (F.col("as_of") <= F.lit(as_of)) & wanted)
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


def featured_candidates(
    candidates: DataFrame,
    *,
    heads: Heads | None,
    with_scores: Callable[[DataFrame], DataFrame],
    as_of: datetime,
    history_length: int,
    retrieved: Sequence[RetrieverFeature],
    shown: ShownLists | None,
    attributes: Sequence[AttributeFeature],
    events: DataFrame,
    user_daily: DataFrame,
    item_daily: DataFrame,
    items: DataFrame,
    users: DataFrame,
    keep: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """Compute the features of candidates at `as_of`.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `candidates` of one run.
    heads : Heads, optional
        The ranker: a column that it knew and that is gone since is null.
    with_scores : callable
        Adds what retrievers say of each pair; see `recsys.retrieval.past`.
    retrieved : sequence of RetrieverFeature
        The retrievers' columns among the features.
    shown, attributes
        As `example_features` takes them.
    events, user_daily, item_daily, items, users : DataFrame
        What `example_features` reads.
    keep : callable
        Persists a frame that is read several times, and returns it.
    """
    pairs = candidate_pairs(candidates, keep=("sources", "because_item_id"))
    featured = example_features(
        with_scores(pairs),
        history_length=history_length,
        retrieved=retrieved,
        shown=shown,
        attributes=attributes,
        instant=as_of,
        events=events,
        user_daily=user_daily,
        item_daily=item_daily,
        items=items,
        users=users,
        keep=keep,
    )
    gone = [name for name in (heads.source_columns if heads else ()) if name not in featured.columns]
    return featured.withColumns({name: F.lit(None).cast("double") for name in gone})


def scored_candidates(featured: DataFrame, *, heads: Heads | None, batch_size: int) -> DataFrame:
    """Score candidates with their features.

    Parameters
    ----------
    featured : DataFrame
        What `featured_candidates` returns.
    heads : Heads, optional
        The ranker; without one every logit is 0 and there is no prediction.

    Returns
    -------
    DataFrame
        `CARRIED`; prediction (of the ranker's first head), logit (what the ranker orders by: the logarithm of its
        score), parts (map of `p_<head>` to its probability).
    """
    if heads is None:
        nothing = F.lit(None).cast("double").alias("prediction")
        no_parts = F.lit(None).cast("map<string,double>").alias("parts")
        return featured.select(*CARRIED, nothing, F.lit(0.0).alias("logit"), no_parts)
    scored = score_heads(at_first_position(featured), bundles=heads.scoring, batch_size=batch_size, keep=CARRIED)
    names = [f"p_{head}" for head in heads.scoring]
    parts = F.create_map(*(part for name in names for part in (F.lit(name), F.col(name))))
    return scored.select(
        *CARRIED, F.col(f"p_{heads.first}").alias("prediction"), score_of(heads).alias("logit"), parts.alias("parts")
    )


def skew_rows(
    featured: DataFrame, heads: Heads, *, as_of: datetime, model_version: str, max_psi: float | None
) -> DataFrame:
    """Compare the candidates with the rows that each head was trained on: rows of `recsys.data.INPUT_SKEW`.

    One aggregation for each head. The limit holds for a head that learned from candidates; shown lists are another
    population by nature.

    Raises
    ------
    DataError
        If an input of such a head differs by more than `max_psi`.
    """
    rows: list[tuple[Any, ...]] = []
    for head, bundle in heads.scoring.items():
        found = skew(bundle, featured)
        if max_psi is not None and head == ENGAGE:
            require_similar(found, max_psi=max_psi)
        rows += [
            (as_of.date(), as_of, model_version, head, one.input, one.psi, one.null_share_train, one.null_share_now)
            for one in found
        ]
    return featured.sparkSession.createDataFrame(rows, INPUT_SKEW.ddl())


def retrieval_weight_of(heads: Heads | None, *, configured: float) -> tuple[float, str]:
    """Return the weight of the order of retrieval in the lists, and why.

    A ranker that learned from candidates has that order among its inputs, and gets no more of it. One that learned from
    shown lists alone has never seen an unshown item: it is blended, with the configured weight.
    """
    if heads is None:
        return 1.0, "the order of retrieval alone decides: there is no ranker (run train_ctr)"
    if not heads.choice.used:
        return 1.0, f"the order of retrieval alone decides: the ranker is {heads.choice.why}"
    if heads.first == ENGAGE:
        shown = ", ".join(f"{head} ^ {weight:g}" for head, weight in heads.choice.weights.items())
        return 0.0, f"score {shown}; {heads.choice.why}"
    return configured, f"retrieval_weight {configured:g}, because the ranker learned from shown lists alone"


def score_of(heads: Heads) -> Column:
    """The logarithm of a ranker's score: of the first head's probability, and of every other's to its weight."""
    total = F.lit(0.0)
    for head in heads.scoring:
        weight = heads.choice.weights.get(head, 1.0)
        total = total + F.lit(float(weight)) * F.log(F.greatest(F.col(f"p_{head}"), F.lit(SMALLEST)))
    return F.round(total, DECIMALS)


def at_first_position(rows: DataFrame) -> DataFrame:
    """Give every row position 1."""
    return rows.withColumn("position", F.lit(1).cast("int"))


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
        F.map_concat(
            F.create_map(*parts, F.lit("retrieval_weight"), F.lit(float(retrieval_weight))),
            F.coalesce("parts", F.create_map().cast("map<string,double>")),
        ).alias("score_parts"),
        "sources",
        "reason_code",
        "reason",
        F.lit(model_version).alias("model_version"),
        F.lit(generated_at).alias("generated_at"),
    )
