"""Labels examples: from shown lists, or from the candidates of an earlier instant and what followed it.

Both give the pairs that `example_features` takes, with a `label`. Negatives are sampled before any feature is computed
(`recsys.features.sampling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.errors import DataError, NothingToDo
from recsys.features.pairs import candidate_pairs, shown_pairs


@dataclass(frozen=True)
class LabelCounts:
    """How many examples of each label there are before sampling."""

    positives: int
    negatives: int

    def sample_rate(self, negatives_per_positive: float) -> float:
        """Return the probability with which a negative is kept.

        Examples
        --------
        >>> LabelCounts(positives=2, negatives=100).sample_rate(10)
        0.2
        """
        wanted = self.positives * negatives_per_positive
        return 1.0 if wanted >= self.negatives else wanted / self.negatives

    @property
    def both(self) -> bool:
        """Whether there are examples of both labels, so that a model has something to learn."""
        return self.positives > 0 and self.negatives > 0


def label_counts(rows: DataFrame) -> LabelCounts:
    """Count the labels of a whole slice, which sampling needs (two numbers reach the driver)."""
    positive = F.col("label") == 1
    row = rows.agg(F.count(F.when(positive, True)).alias("p"), F.count(F.when(~positive, True)).alias("n")).head()
    return LabelCounts(int(row["p"]), int(row["n"])) if row else LabelCounts(0, 0)


@dataclass(frozen=True)
class Labeled:
    """Labeled pairs of one origin.

    Attributes
    ----------
    pairs : DataFrame
        The pairs that `example_features` takes, with `label`.
    lists : DataFrame
        The lists that the pairs are in: the same rows without the label, which makes reading them again cheaper.
    instant : datetime, optional
        The instant that all pairs share, if they are candidates.
    counts : LabelCounts
        Labels among the pairs.
    """

    pairs: DataFrame
    lists: DataFrame
    instant: datetime | None = None
    counts: LabelCounts = LabelCounts(0, 0)


def learnable_lists(impressions: DataFrame, events: DataFrame, *, label_types: Sequence[str]) -> bool:
    """Tell whether shown lists can be learned from: there are some, and something on a list was taken up.

    Parameters
    ----------
    impressions, events : DataFrame
        Shown items and events of the window. An item was taken up if the log's own label says so, or an event of
        `label_types` names its list.
    """
    if impressions.isEmpty():
        return False
    of_type = F.col("event_type").isin(list(label_types)) & F.col("list_id").isNotNull()
    return not events.where(of_type).isEmpty() or not impressions.where("label > 0").isEmpty()


def choose(
    *,
    origin: Literal["auto", "impressions", "candidates"],
    impressions: DataFrame,
    candidates: DataFrame,
    events: DataFrame,
    as_of: datetime,
    earlier: datetime,
    window_days: int,
    label_types: Sequence[str],
) -> Labeled:
    """Label the examples of an origin; `auto` takes shown lists if they hold both labels.

    Counts labels (a few numbers reach the driver), so this is a decision and not a lazy transform.

    Raises
    ------
    NothingToDo
        If no example is positive.
    DataError
        If candidates are to be labeled and there are none of `earlier`.
    """
    types = ", ".join(label_types)
    if origin != "candidates":
        shown = from_lists(impressions, events, as_of=as_of, window_days=window_days, label_types=label_types)
        counts = label_counts(shown.pairs)
        if counts.both or (origin == "impressions" and counts.positives):
            return replace(shown, counts=counts)
        if origin == "impressions":
            raise NothingToDo(
                f"of {counts.negatives} items shown in the {window_days} days before {as_of:%Y-%m-%dT%H:%M:%SZ} none "
                f"was followed by {types}; widen ctr_examples.window_days or take candidates"
            )
    require_made_at(candidates, earlier)
    proposed = from_candidates(candidates, events, instant=earlier, as_of=as_of, label_types=label_types)
    counts = label_counts(proposed.pairs)
    if not counts.positives:
        raise NothingToDo(
            f"of {counts.negatives} candidates of {earlier:%Y-%m-%dT%H:%M:%SZ} none was taken up by {types} "
            f"until {as_of:%Y-%m-%dT%H:%M:%SZ}; widen ctr_examples.label_window_days"
        )
    return replace(proposed, counts=counts)


def from_lists(
    impressions: DataFrame, events: DataFrame, *, as_of: datetime, window_days: int, label_types: Sequence[str]
) -> Labeled:
    """Turn shown lists into labeled pairs, without those shown to robots.

    The label is the log's own if it has one, else whether an event of `label_types` names the list and the item
    before `as_of`. If the outcome is still open by then, as it may be for the newest lists, it counts as negative.

    Parameters
    ----------
    impressions : DataFrame
        Rows of `recsys.data.IMPRESSIONS`.
    events : DataFrame
        Rows of `recsys.data.EVENTS`.
    as_of : datetime
        Exclusive upper bound of lists and events.
    window_days : int
        Days of lists.
    label_types : sequence of str
        Event types that make a shown item positive.
    """
    since, shown_at = as_of - timedelta(days=window_days), F.col("shown_at")
    inside = (shown_at >= F.lit(since)) & (shown_at < F.lit(as_of)) & ~F.col("is_bot")
    rows = shown_pairs(impressions.where(inside))
    after = _between(events, since, as_of).where(F.col("list_id").isNotNull())
    taken = _taken(after, "list_id", label_types)
    pairs = rows.join(taken, on=["list_id", "item_id"], how="left")
    label = F.coalesce("label", "taken", F.lit(0.0))
    return Labeled(pairs.withColumn("label", label).drop("taken"), rows.drop("label"))


def from_candidates(
    candidates: DataFrame, events: DataFrame, *, instant: datetime, as_of: datetime, label_types: Sequence[str]
) -> Labeled:
    """Turn the candidates of an earlier instant into pairs labeled by what followed until `as_of`.

    Users without any event in that time are left out: they were away, which says nothing about what they like. Items
    that a user took up without a proposal are no examples: the ranker orders what retrieval proposes.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `recsys.data.CANDIDATES` made at `instant`.
    events : DataFrame
        Rows of `recsys.data.EVENTS`.
    instant, as_of : datetime
        The labels come from events at or after the first and before the second.
    label_types : sequence of str
        Event types that make a candidate positive.
    """
    after = _between(events, instant, as_of)
    lists = candidate_pairs(candidates, as_of=instant).join(
        after.select("user_id").distinct(), on="user_id", how="left_semi"
    )
    pairs = lists.join(_taken(after, "user_id", label_types), on=["user_id", "item_id"], how="left")
    return Labeled(pairs.withColumn("label", F.coalesce("taken", F.lit(0.0))).drop("taken"), lists, instant)


def require_made_at(candidates: DataFrame, instant: datetime) -> None:
    """Check that candidates were made at an instant (at most two values reach the driver).

    Raises
    ------
    DataError
        If there are none, or they were made at another instant; it names the command that makes them.
    """
    found = [row["at"] for row in candidates.select(F.unix_micros("as_of").alias("at")).distinct().take(2)]
    if found != [int(instant.timestamp()) * 1_000_000 + instant.microsecond]:
        what = f"the candidates of {instant:%Y-%m-%d} are of another instant" if found else "there are no candidates"
        raise DataError(
            f"{what}, so none can be labeled as of {instant:%Y-%m-%dT%H:%M:%SZ}; "
            f"run jobs/pipeline.py --from index --to candidates --as-of {instant:%Y-%m-%dT%H:%M:%SZ} first"
        )


def _between(events: DataFrame, since: datetime, until: datetime) -> DataFrame:
    time = F.col("event_time")
    return events.where((time >= F.lit(since)) & (time < F.lit(until)) & ~F.col("is_bot"))


def _taken(events: DataFrame, within: str, label_types: Sequence[str]) -> DataFrame:
    rows = events.where(F.col("event_type").isin(list(label_types)))
    return rows.select(within, "item_id").distinct().withColumn("taken", F.lit(1.0))
