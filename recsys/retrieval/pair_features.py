"""What retrievers say of any user and item: features of the ranker, for training and for scoring.

The models and the histories of the audience are of one instant, so whatever they say is of before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys import arrow
from recsys.environment import BROADCAST_LIMIT_MB
from recsys.progress import note
from recsys.retrieval.audience import Audience, packed
from recsys.retrieval.base import Model
from recsys.retrieval.frames import distinct_pairs, with_columns
from recsys.retrieval.kernels import PairKernel
from recsys.retrieval.loading import load_kernels, size_in_bytes, user_columns
from recsys.retrieval.scoring import WANTED, Scorer, run
from recsys.spark import share


def with_pair_features(
    pairs: DataFrame,
    models: Sequence[Model[Any]],
    audience: Audience,
    *,
    broadcast_limit_mb: float = BROADCAST_LIMIT_MB,
) -> DataFrame:
    """Add the pair features of models.

    Parameters
    ----------
    pairs : DataFrame
        `user_id, item_id`, and other columns, which are carried along. A pair may occur several times. The frame is
        read twice.
    models : sequence of Model
        Fitted retrievers with different names. For features of the past, fitted on what is earlier than the pairs.
    audience : Audience
        The histories and segments that the features follow from, of the same instant. Its histories may be those of
        more users than the pairs have, which costs time alone.
    broadcast_limit_mb : float
        Above it nothing that grows with items is broadcast, and joins give the same figures.

    Returns
    -------
    DataFrame
        `pairs` with a double column `<name>_<what>` for each pair feature of each model, in their order; it replaces
        one of the same name. Rows without a user or an item have nulls.
    """
    scored = [replace(model, audience=audience) for model in models if model.settings.of_pairs]
    if not scored:
        return pairs
    size = size_in_bytes(scored, audience.item_index)
    if size <= broadcast_limit_mb * arrow.MEGABYTE:
        return with_columns(pairs, _in_one_pass(pairs, scored, audience))
    note(f"items take {size / arrow.MEGABYTE:.0f} MB, above spark.broadcast_limit_mb: pairs are scored by joins")
    wanted = distinct_pairs(pairs)
    return reduce(with_columns, (model.named_features(wanted) for model in scored), pairs)


def _in_one_pass(pairs: DataFrame, models: Sequence[Model[Any]], audience: Audience) -> DataFrame:
    """`user_id, item_id` and the features: one `mapInArrow` over the users of the pairs."""
    named = pairs.select("user_id", "item_id").dropna()
    wanted = named.groupBy("user_id").agg(F.array_sort(F.collect_set("item_id")).alias(WANTED))
    people = wanted.join(audience.people, on="user_id", how="left")
    rows = packed(replace(audience, people=people), user_columns(models))
    scorer = load(models, audience.item_index)
    return rows.mapInArrow(run(share(rows.sparkSession, scorer)), scorer.schema)


def load(models: Sequence[Model[Any]], item_index: DataFrame) -> Scorer:
    """Bring what the kernels need of items to the driver. Only below the broadcast limit.

    Raises
    ------
    TypeError
        If a retriever declares pair features, but its kernel has no `score`.
    """
    catalog, kernels = load_kernels(models, item_index)
    scoring: dict[str, PairKernel] = {}
    for name, kernel in kernels.items():
        if not isinstance(kernel, PairKernel):
            raise TypeError(f"{name} declares pair features, but {type(kernel).__name__} has no method score")
        scoring[name] = kernel
    return Scorer(catalog, scoring, {model.settings.name: model.settings.of_pairs for model in models})
