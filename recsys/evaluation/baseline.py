"""The baseline, judged honestly: the full list that it alone would have published, not what the union left of it.

Popularity is judged twice: by segment, as the retriever gives it, and overall, the same list for everybody. Whether a
data set has segments then decides nothing about what others are compared with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.retrieval.base import Model
from recsys.retrieval.frames import Eligible

OVERALL = "overall"
"""What the name of a baseline for users without segments ends in."""


def overall(model: Model[Any]) -> Model[Any]:
    """Return the model as it is for users of whom no segment is known."""
    audience = model.known_audience()
    nobody = audience.people.select("user_id", F.lit(None).cast("string").alias("segment"))
    return replace(model, audience=replace(audience, people=nobody))


def baseline_lists(
    model: Model[Any], *, users: DataFrame, seen: DataFrame | None, eligible: Eligible | None, depth: int
) -> DataFrame:
    """Make the list of each user from one retriever, with the same exclusions.

    Parameters
    ----------
    users : DataFrame
        user_id, unique.
    seen : DataFrame, optional
        user_id, item_id, unique, that must not come back.
    eligible : Eligible, optional
        Which items may come back.

    Returns
    -------
    DataFrame
        user_id, item_id, rank (dense from 1).
    """
    excluded = None if seen is None else seen.join(users.select("user_id"), on="user_id", how="left_semi")
    found = model.among(eligible).lists(users.select("user_id"), k=depth, exclude=excluded)
    return found.select("user_id", "item_id", "rank")
