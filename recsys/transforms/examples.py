"""Labelled examples: from shown lists, or from the candidates of an earlier instant and what followed it.

Both end in the pairs that `examples_features.example_features` takes, with `label` and `split`; negatives are sampled
by a hash of their key before any feature is computed, and keep the rate that they were sampled with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.errors import DataError, NothingToDo
from recsys.tables import CTR_EXAMPLES
from recsys.transforms.examples_features import candidate_pairs, example_id

_BUCKETS = 1_000_000


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
        """Whether there is something to tell apart."""
        return self.positives > 0 and self.negatives > 0


def label_counts(rows: DataFrame) -> LabelCounts:
    """Count the labels: the one figure that sampling needs from the whole slice (two numbers reach the driver)."""
    positive = F.col("label") == 1
    row = rows.agg(F.count(F.when(positive, True)).alias("p"), F.count(F.when(~positive, True)).alias("n")).head()
    return LabelCounts(int(row["p"]), int(row["n"])) if row else LabelCounts(0, 0)


@dataclass(frozen=True)
class Labelled:
    """Labelled pairs of one origin.

    Attributes
    ----------
    pairs : DataFrame
        The pairs that `example_features` takes, with `label`.
    lists : DataFrame
        The lists that they stand in: the same rows without the label, cheaper to read once more.
    instant : datetime, optional
        The instant that all pairs share, where they are candidates.
    counts : LabelCounts
        Labels among the pairs.
    """

    pairs: DataFrame
    lists: DataFrame
    instant: datetime | None = None
    counts: LabelCounts = LabelCounts(0, 0)


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
) -> Labelled:
    """Label the examples of the origin asked for; `auto` takes shown lists where they hold both labels.

    Counts labels (a few numbers reach the driver), so this is a decision and not a lazy transform.

    Raises
    ------
    NothingToDo
        If no example is positive.
    DataError
        If candidates are to be labelled and those of `earlier` are not there.
    """
    if origin != "candidates":
        shown = from_lists(impressions, events, as_of=as_of, window_days=window_days, label_types=label_types)
        counts = label_counts(shown.pairs)
        if counts.both or (origin == "impressions" and counts.positives):
            return replace(shown, counts=counts)
        if origin == "impressions":
            raise NothingToDo(
                f"of {counts.negatives} items shown in the {window_days} days before {as_of:%Y-%m-%dT%H:%M:%SZ} none "
                f"was followed by {', '.join(label_types)}; widen examples.window_days or take candidates"
            )
    require_made_at(candidates, earlier)
    proposed = from_candidates(candidates, events, instant=earlier, as_of=as_of, label_types=label_types)
    counts = label_counts(proposed.pairs)
    if not counts.positives:
        raise NothingToDo(
            f"of {counts.negatives} candidates of {earlier:%Y-%m-%dT%H:%M:%SZ} none was taken up by "
            f"{', '.join(label_types)} until {as_of:%Y-%m-%dT%H:%M:%SZ}; widen examples.label_window_days"
        )
    return replace(proposed, counts=counts)


def from_lists(
    impressions: DataFrame, events: DataFrame, *, as_of: datetime, window_days: int, label_types: Sequence[str]
) -> Labelled:
    """Turn shown lists into labelled pairs, robots left out.

    The label is the source's where it gives one, else whether an event of `label_types` names the list and the item
    before `as_of`. A list whose outcome is still open then counts as not taken up; the newest lists may be such.

    Parameters
    ----------
    impressions : DataFrame
        Rows of `recsys.tables.IMPRESSIONS`.
    events : DataFrame
        Rows of `recsys.tables.EVENTS`.
    as_of : datetime
        Exclusive upper bound of lists and events.
    window_days : int
        Days of lists.
    label_types : sequence of str
        Event types that make a shown item positive.
    """
    since = as_of - timedelta(days=window_days)
    shown_at = F.col("shown_at")
    rows = impressions.where((shown_at >= F.lit(since)) & (shown_at < F.lit(as_of)) & ~F.col("is_bot")).select(
        example_id(F.col("list_id"), F.col("user_id"), F.col("item_id")).alias("example_id"),
        "user_id",
        "item_id",
        "list_id",
        "session_id",
        "session_step",
        shown_at.alias("example_time"),
        "position",
        "price",
        "device",
        "country",
        F.lit(None).cast("map<string,int>").alias("ranks"),
        F.lit(None).cast("map<string,double>").alias("scores"),
        F.lit(None).cast("int").alias("candidate_rank"),
        "label",
    )
    after = _between(events, since, as_of).where(F.col("list_id").isNotNull())
    taken = _taken(after, "list_id", label_types)
    pairs = rows.join(taken, on=["list_id", "item_id"], how="left")
    label = F.coalesce("label", "taken", F.lit(0.0))
    return Labelled(pairs.withColumn("label", label).drop("taken"), rows.drop("label"))


def from_candidates(
    candidates: DataFrame, events: DataFrame, *, instant: datetime, as_of: datetime, label_types: Sequence[str]
) -> Labelled:
    """Turn the candidates of an earlier instant into pairs labelled by what followed until `as_of`.

    Users without any event in that time are left out: their silence says that they were away, not what they like.
    Items that a user took up without their being proposed are no examples: the ranker orders what retrieval proposes.

    Parameters
    ----------
    candidates : DataFrame
        Rows of `recsys.tables.CANDIDATES` made at `instant`.
    events : DataFrame
        Rows of `recsys.tables.EVENTS`.
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
    return Labelled(pairs.withColumn("label", F.coalesce("taken", F.lit(0.0))).drop("taken"), lists, instant)


def require_made_at(candidates: DataFrame, instant: datetime) -> None:
    """Check that candidates were made at an instant (at most two values reach the driver).

    Raises
    ------
    DataError
        If there are none, or they are another instant's; it names the command that makes them.
    """
    found = [row["at"] for row in candidates.select(F.unix_micros("as_of").alias("at")).distinct().take(2)]
    if found != [int(instant.timestamp()) * 1_000_000 + instant.microsecond]:
        what = f"the candidates of {instant:%Y-%m-%d} are another instant's" if found else "there are no candidates"
        raise DataError(
            f"{what} where examples are to be labelled (as_of {instant:%Y-%m-%dT%H:%M:%SZ}); "
            f"run jobs/pipeline.py --from index --to candidates --as-of {instant:%Y-%m-%dT%H:%M:%SZ} first"
        )


def _between(events: DataFrame, since: datetime, until: datetime) -> DataFrame:
    time = F.col("event_time")
    return events.where((time >= F.lit(since)) & (time < F.lit(until)) & ~F.col("is_bot"))


def _taken(events: DataFrame, within: str, label_types: Sequence[str]) -> DataFrame:
    rows = events.where(F.col("event_type").isin(list(label_types)))
    return rows.select(within, "item_id").distinct().withColumn("taken", F.lit(1.0))


def sampled(pairs: DataFrame, *, rate: float) -> DataFrame:
    """Keep every positive, and negatives at a rate by a hash of list and item; add `sample_rate`."""
    positive = F.col("label") == 1
    return pairs.where(positive | (_uniform("list_id", "item_id", salt="negative") < rate)).withColumn(
        "sample_rate", F.when(positive, F.lit(1.0)).otherwise(F.lit(rate))
    )


def split_by_time(pairs: DataFrame, *, valid_share: float, test_share: float) -> DataFrame:
    """Add `split` by time: the latest share of the examples is the test, the share before that the validation.

    A session (or a list without one) lies in one split: the minute of its first example decides.
    """
    whole = F.coalesce("session_id", "list_id")
    minute = F.floor(F.unix_seconds("example_time") / 60).cast("bigint")
    starts = pairs.groupBy(whole.alias("_whole")).agg(F.min(minute).alias("_start"), F.count(F.lit(1)).alias("_rows"))
    # Exact quantiles over minutes: their number is bounded by the window, whatever the number of lists.
    shares = F.array(F.lit(max(0.0, 1 - valid_share - test_share)), F.lit(1 - test_share))
    bounds = starts.agg(F.percentile("_start", shares, F.col("_rows")).alias("_bounds"))
    split = (
        F.when(F.col("_start") <= F.col("_bounds")[0], "train")
        .when(F.col("_start") <= F.col("_bounds")[1], "valid")
        .otherwise("test")
    )
    placed = starts.join(F.broadcast(bounds), on=F.lit(True), how="inner").select("_whole", split.alias("split"))
    return pairs.withColumn("_whole", whole).join(placed, on="_whole", how="inner").drop("_whole")


def split_by_user(pairs: DataFrame, *, valid_share: float, test_share: float) -> DataFrame:
    """Add `split` by a hash of the user: for candidates of one instant, where no time separates the examples."""
    drawn = _uniform("user_id", salt="split")
    split = F.when(drawn < test_share, "test").when(drawn < test_share + valid_share, "valid").otherwise("train")
    return pairs.withColumn("split", split)


def labelled(features: DataFrame, *, as_of: datetime) -> DataFrame:
    """Return rows of `recsys.tables.CTR_EXAMPLES` out of examples with features."""
    return features.withColumn("as_of", F.lit(as_of)).select(*CTR_EXAMPLES.column_names)


def _uniform(*columns: str, salt: str) -> Column:
    """Return a number in [0, 1) that depends on the columns alone."""
    return F.pmod(F.xxhash64(F.lit(salt), *columns), F.lit(_BUCKETS)) / F.lit(float(_BUCKETS))
