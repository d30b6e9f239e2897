"""What the true click probabilities reach: AUC by ranks over grouped scores, computed in Spark."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

AUC_NAMES = ("truth", "relevance", "popularity")
_DECIMALS = 4


def grouped_auc(groups: Iterable[tuple[float, int, int]]) -> float:
    """Return the area under the ROC curve from counts per score; ties count one half.

    Parameters
    ----------
    groups
        Score, positives and negatives at that score; scores distinct, in any order.

    Returns
    -------
    float
        In [0, 1]; NaN when one of the classes is empty.

    Examples
    --------
    >>> grouped_auc([(0.9, 1, 0), (0.5, 1, 1), (0.1, 0, 1)])
    0.875
    """
    wins, below, positives = 0.0, 0, 0
    for _, positive, negative in sorted(groups):
        wins += positive * (below + negative / 2)
        below += negative
        positives += positive
    return wins / (positives * below) if positives and below else float("nan")


def auc(frame: DataFrame, score: Column, label: Column) -> float:
    """Return the AUC of scores rounded to 4 decimals against a boolean label.

    Scores must span a bounded range (probabilities, logarithms of counts), so that the groups that reach the
    driver are bounded too.
    """
    counts = frame.groupBy(F.round(score, _DECIMALS).alias("score")).agg(
        F.count_if(label).alias("positive"), F.count_if(~label).alias("negative")
    )
    return grouped_auc((row["score"], row["positive"], row["negative"]) for row in counts.collect())


def summary(truth: DataFrame, *, cold_from: int) -> dict[str, float]:
    """Return what the shown positions of people tell.

    Parameters
    ----------
    truth
        The truth table; bots are left out.
    cold_from
        Day of the log; who is first seen on or after it is a cold user.

    Returns
    -------
    dict
        ``truth``: AUC of the true click probability, position included (the ceiling). ``relevance``: AUC of
        the probability without the position. ``popularity``: AUC of the item's number of clicks. ``ctr``:
        clicks per shown item. ``users``, ``items``: distinct visitors and items. ``cold_users``: the cold
        ones. ``rows``: shown positions, those of bots included.
    """
    people = truth.where(~F.col("is_bot"))
    clicks = people.groupBy("item_id").agg(F.count_if("clicked").alias("item_clicks"))
    known = people.join(clicks, on="item_id", how="inner")
    clicked = F.col("clicked")
    visitors = people.groupBy("visitor").agg(F.min("day").alias("first_day"))
    cold = F.count_if(F.col("first_day") >= cold_from)
    users = _only(visitors.agg(F.count(F.lit(1)).alias("all"), cold.alias("cold")))
    rate = F.avg(clicked.cast("double"))
    totals = _only(people.agg(rate.alias("ctr"), F.countDistinct("item_id").alias("items")))
    return {
        "truth": auc(people, F.col("p_click_true"), clicked),
        "relevance": auc(people, F.col("p_relevance"), clicked),
        "popularity": auc(known, F.log1p(F.col("item_clicks").cast("double")), clicked),
        "ctr": float(totals["ctr"] or 0.0),
        "users": int(users["all"]),
        "items": int(totals["items"]),
        "cold_users": int(users["cold"]),
        "rows": truth.count(),
    }


def _only(frame: DataFrame) -> Row:
    """Return the row of an aggregate without groups."""
    row = frame.first()
    assert row is not None
    return row
