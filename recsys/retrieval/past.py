"""What retrievers say of user-item pairs, each by what it had learned before the pair's instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import RetrieverFeature
from recsys.retrieval.base import Model
from recsys.retrieval.pair_features import with_pair_features

_FITTED = "_fitted_at"


def with_past_features(
    pairs: DataFrame, fits: Mapping[datetime, Sequence[Model[Any]]], features: Sequence[RetrieverFeature]
) -> DataFrame:
    """Add the pair features of retrievers, by the newest fit that is not later than the pair.

    Parameters
    ----------
    pairs : DataFrame
        user_id, item_id, example_time and more; read once for each instant.
    fits : mapping of datetime to sequence of Model
        What was fitted on events before each instant, with an audience of that instant.
    features : sequence of RetrieverFeature
        What retrievers offer; ranks come from elsewhere.

    Returns
    -------
    DataFrame
        `pairs` with a column for each feature; null for pairs before the first fit, and where a retriever had learned
        nothing.
    """
    adding = {at: with_features_of(models, features) for at, models in fits.items() if models}
    return by_newest(pairs, adding, before=with_features_of((), features))


def by_newest(
    pairs: DataFrame,
    fits: Mapping[datetime, Callable[[DataFrame], DataFrame]],
    *,
    before: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """Add columns to each pair by the newest fit that is not later than it.

    Parameters
    ----------
    pairs : DataFrame
        `example_time` and more; read once for each fit, and once more.
    fits : mapping of datetime to callable
        What adds the columns, by the instant of the fit.
    before : callable
        What adds them to pairs before the first fit.
    """
    if not fits:
        return before(pairs)
    fitted = F.lit(None).cast("timestamp")
    for at in sorted(fits):
        fitted = F.when(F.col("example_time") >= F.lit(at), F.lit(at)).otherwise(fitted)
    dated = pairs.withColumn(_FITTED, fitted)
    parts = [add(dated.where(F.col(_FITTED) == at)) for at, add in fits.items()]
    return reduce(DataFrame.unionByName, [*parts, before(dated.where(F.col(_FITTED).isNull()))]).drop(_FITTED)


def with_features_of(
    models: Sequence[Model[Any]], features: Sequence[RetrieverFeature]
) -> Callable[[DataFrame], DataFrame]:
    """Return what adds the pair features of some models, and nulls for those of other retrievers."""
    wanted = [feature.column.name for feature in features if feature.what != "rank"]

    def add(pairs: DataFrame) -> DataFrame:
        scored = pairs
        if models:
            one = models[0]
            limit = one.broadcast_limit_mb
            scored = with_pair_features(pairs, models, one.known_audience(), broadcast_limit_mb=limit)
        lacking = [name for name in wanted if name not in scored.columns]
        return scored.withColumns({name: F.lit(None).cast("double") for name in lacking})

    return add
