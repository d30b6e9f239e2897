"""How well the true click probabilities predict: AUC by ranks over grouped scores, computed in Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def auc_by_name(frame: DataFrame, scores: Mapping[str, Column], label: Column) -> dict[str, float]:
    """Return the AUC of several scores, rounded to 4 decimals, against a boolean label, in one pass.

    Scores must span a bounded range (probabilities, logarithms of counts), so that the groups that reach the
    driver are bounded too.
    """
    named = [
        F.struct(F.lit(name).alias("name"), F.round(score, _DECIMALS).alias("score")) for name, score in scores.items()
    ]
    long = frame.select(F.explode(F.array(*named)).alias("one"), label.alias("label"))
    counts = long.groupBy("one.name", "one.score").agg(
        F.count_if("label").alias("positive"), F.count_if(~F.col("label")).alias("negative")
    )
    groups: dict[str, list[tuple[float, int, int]]] = {name: [] for name in scores}
    for row in counts.collect():
        groups[row["name"]].append((row["score"], row["positive"], row["negative"]))
    return {name: grouped_auc(found) for name, found in groups.items()}


def summary(truth: DataFrame, *, cold_from: int) -> dict[str, float]:
    """Summarize the positions that were shown to people.

    Parameters
    ----------
    truth
        The truth table; bots are excluded.
    cold_from
        Day of the log; a user first seen on or after it is a cold user.

    Returns
    -------
    dict
        ``truth``: AUC of the true click probability, position included (the ceiling). ``relevance``: AUC of
        the probability without the position. ``popularity``: AUC of the item's number of clicks. ``ctr``:
        clicks per shown item. ``users``, ``items``: distinct visitors and items. ``cold_users``: the cold
        ones. ``rows``: shown positions, including those of bots.
    """
    people = truth.where(~F.col("is_bot"))
    rows = F.count(F.lit(1))
    items = people.groupBy("item_id").agg(F.count_if("clicked").alias("clicks"), rows.alias("shown"))
    scores = {
        "truth": F.col("p_click_true"),
        "relevance": F.col("p_relevance"),
        "popularity": F.log1p(F.col("clicks").cast("double")),
    }
    known = people.join(items, on="item_id", how="inner")
    totals = _only(items.agg(rows.alias("items"), F.sum("clicks").alias("clicks"), F.sum("shown").alias("shown")))
    visitors = people.groupBy("visitor").agg(F.min("day").alias("first_day"))
    cold = F.count_if(F.col("first_day") >= cold_from)
    users = _only(visitors.agg(rows.alias("all"), cold.alias("cold")))
    return {
        **auc_by_name(known, scores, F.col("clicked")),
        "ctr": (totals["clicks"] or 0) / max(totals["shown"] or 0, 1),
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
