"""What users are interested in, in words: decayed TF-IDF over categories, brands and tags of the items they touched.

The weighting is the usual one of information retrieval (Salton and Buckley, 1988) with users as documents: how much a
user touched a tag, times how rare it is among users. All sums are of whole numbers, so their order does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as W
from pyspark.sql import functions as F

from recsys.data import AS_OF_KEY, USER_INTERESTS, stamp
from recsys.features.settings import InterestsSettings

_WHOLE: Final = 2**20
"""Strength of an event of weight 1 at the instant itself; older ones have a whole number below it."""
_SECONDS_PER_DAY: Final = 86_400.0
_KEY: Final = ["user_id", "kind"]


def user_interests(
    *,
    events: DataFrame,
    items: DataFrame,
    as_of: datetime,
    weights: Mapping[str, float],
    settings: InterestsSettings,
) -> DataFrame:
    """Compute `user_interests`.

    Parameters
    ----------
    events : DataFrame
        The log; only events of people in the window before `as_of` count.
    items : DataFrame
        The catalog valid just before `as_of`, one row per item.
    weights : mapping of str to float
        How much each type of event says; others say nothing.

    Returns
    -------
    DataFrame
        The columns of `recsys.data.USER_INTERESTS`: of each user and kind the `k` strongest tags.
    """
    touched = _touched(events, as_of, weights, settings)
    of_users = (
        touched.join(_tags(items, settings), on="item_id", how="inner")
        .groupBy(*_KEY, "tag")
        .agg(F.sum("strength").alias("tf"))
    )
    spread = of_users.groupBy("kind", "tag").agg(F.count(F.lit(1)).alias("df"))
    users = touched.agg(F.count_distinct("user_id").alias("users"))
    idf = F.log((F.col("users") + 1) / (F.col("df") + 1)) + 1
    scored = (
        of_users.join(spread, on=["kind", "tag"], how="inner")
        .crossJoin(F.broadcast(users))
        .select(*_KEY, "tag", F.round(F.col("tf") * idf).cast("bigint").alias("score"))
    )
    order = W.partitionBy(*_KEY).orderBy(F.desc("score"), "tag")
    ranked = scored.select(
        "*",
        F.row_number().over(order).alias("rank"),
        F.sum("score").over(W.partitionBy(*_KEY)).alias("total"),
    )
    return (
        ranked.where((F.col("rank") <= settings.k) & (F.col("total") > 0))
        .select(
            F.lit(as_of).alias("as_of"),
            F.lit(stamp(as_of)).alias(AS_OF_KEY.name),
            *_KEY,
            "tag",
            (F.col("score") / F.col("total")).alias("weight"),
            "rank",
        )
        .select(*USER_INTERESTS.column_names)
    )


def _touched(events: DataFrame, as_of: datetime, weights: Mapping[str, float], x: InterestsSettings) -> DataFrame:
    """Sum what each user did with each item, by weight and age: `user_id, item_id, strength`."""
    time = F.col("event_time")
    since = as_of - timedelta(days=x.window_days)
    # One lookup per row: a chain of conditions would grow with the types.
    pairs = [F.lit(part) for pair in sorted(weights.items()) if pair[1] > 0 for part in pair]
    weight = F.element_at(F.create_map(*pairs), F.col("event_type"))
    days = (F.unix_micros(F.lit(as_of)) - F.unix_micros(time)) / F.lit(_SECONDS_PER_DAY * 1e6)
    strength = F.round(weight * F.pow(F.lit(2.0), -days / F.lit(x.half_life_days)) * _WHOLE).cast("bigint")
    return (
        events.where((time >= F.lit(since)) & (time < F.lit(as_of)) & ~F.col("is_bot"))
        .select("user_id", "item_id", strength.alias("strength"))
        .where("strength > 0")
        .groupBy("user_id", "item_id")
        .agg(F.sum("strength").alias("strength"))
    )


def _tags(items: DataFrame, x: InterestsSettings) -> DataFrame:
    """The tags of each item: `item_id, kind, tag`, each once."""
    text = F.split(F.col("attributes")[x.attribute], f"\\Q{x.separator}\\E")
    several = F.array_distinct(F.transform(F.coalesce(text, F.array().cast("array<string>")), lambda one: F.trim(one)))
    tags = F.concat(
        F.array(_cell("category", F.col("category")), _cell("brand", F.col("brand"))),
        F.transform(several, lambda one: _cell("tag", one)),
    )
    cells = items.select("item_id", F.explode(tags).alias("cell")).select("item_id", "cell.kind", "cell.tag")
    return cells.where(F.col("tag").isNotNull() & (F.col("tag") != ""))


def _cell(kind: str, tag: Column) -> Column:
    return F.struct(F.lit(kind).alias("kind"), tag.alias("tag"))
