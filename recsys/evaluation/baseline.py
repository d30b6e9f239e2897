"""The baseline, judged honestly: the full list that it alone would have published, not what the union left of it."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from recsys.retrieval.base import Model
from recsys.retrieval.frames import Eligible


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
