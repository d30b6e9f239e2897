"""Why there is nothing to factorize: which key of the config is at odds with the log."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import functions as F

from recsys.retrieval.als.sizing import Size
from recsys.retrieval.training import TrainingData


def why_none(data: TrainingData, *, implicit: bool, key: str) -> str | None:
    """Say which setting makes a log without a single interaction; None where none of them does.

    Parameters
    ----------
    implicit : bool
        Whether events are weighed, or ratings fitted.
    key : str
        The retriever's entry in the config, such as `retrievers.als`.
    """
    past = data.log.events.where((F.col("event_time") < F.lit(data.as_of)) & ~F.col("is_bot"))
    rows = past.groupBy("event_type").agg(F.count("value").alias("values")).collect()
    values = {row["event_type"]: row["values"] for row in rows}
    if not values:
        return None
    types = ", ".join(sorted(values))
    if not implicit:
        if values.get("rating"):
            return None
        lacking = "ratings have no value" if "rating" in values else f"log has events of the types {types} alone"
        return f"{key}.implicit is false, but the {lacking}; set it to true, or map ratings with their value"
    weighed = {kind for kind, weight in data.signal.weights.items() if weight > 0}
    if not weighed & set(values):
        one = sorted(values)[0]
        return (
            f"the log has events of the types {types} alone, and signal.weights has none of them; "
            f"set signal.weights.{one}"
        )
    if data.signal.min_value is not None and weighed & set(values) == {"rating"}:
        return f"no rating reaches signal.min_value ({data.signal.min_value:g}); lower it, or map the ratings' value"
    return None


def too_little(name: str, size: Size, as_of: datetime, why: str | None, least: tuple[int, int]) -> str:
    """Say what was found, and what would bring more.

    Parameters
    ----------
    why : str, optional
        What `why_none` says where there is nothing at all.
    least : (int, int)
        Items that a user needs, and users that an item needs.
    """
    found = f"{name} found {size.interactions} interactions before {as_of:%Y-%m-%dT%H:%M:%SZ}"
    if why:
        return f"{found}: {why}"
    return (
        f"{found} among users with at least {least[0]} items and items with at least {least[1]} users; lower its "
        "min_user_events and min_item_events, widen signal.window_days, or choose a later --as-of"
    )
