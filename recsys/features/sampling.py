"""Which labeled examples are kept, and which split each belongs to. Decided by hashes and times, never by chance.

What a model is judged by comes after what it learns from: the candidates of the newest instant, and the newest share of
the shown lists. These are divided by user into three parts: `valid` stops the training and chooses the weights of the
heads, `calibration` fits probabilities, `test` judges. Candidates that are held out stay whole lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import AS_OF_KEY, Table, stamp
from recsys.features.examples import CANDIDATES, LATER, Counts

_BUCKETS: Final = 1_000_000
_VALID, _CALIBRATION = 0.4, 0.6
"""Up to where a user's hash falls into `valid`, and into `calibration`; the others are for `test`."""
_OF_ONE_INSTANT = 0.5
"""Share of the users held out if there is one instant only: the others have to be learned from."""


def sample_rate(counts: Sequence[Counts], negatives_per_positive: float) -> float:
    """Return the probability with which a negative is kept.

    Examples
    --------
    >>> sample_rate([Counts(None, positives=2, negatives=100, users=1)], 10)
    0.2
    """
    wanted = sum(one.positives for one in counts) * negatives_per_positive
    negatives = sum(one.negatives for one in counts)
    return 1.0 if wanted >= negatives else wanted / negatives


def held_out_share(counts: Sequence[Counts], *, holdout_users: int) -> float:
    """Return the share of the newest instant's users that are held out.

    Parameters
    ----------
    counts : sequence of Counts
        Of each instant, the newest first.
    holdout_users : int
        No more than about as many users; the others are learned from.
    """
    most = 1.0 if len(counts) > 1 else _OF_ONE_INSTANT
    return min(most, holdout_users / max(1, counts[0].users))


def split_candidates(pairs: DataFrame, *, newest: datetime, share: float) -> DataFrame:
    """Add `split`: a share of the users of the newest instant is held out, all else is for training."""
    held = (F.col("example_time") == F.lit(newest)) & (_uniform("user_id", salt="held out") < share)
    return pairs.withColumn("split", F.when(held, _part()).otherwise("train"))


def split_lists(pairs: DataFrame, *, holdout_share: float) -> DataFrame:
    """Add `split`: the newest share of the examples is held out.

    A session (or a list without one) lies in one split: the minute of its first example decides. A session is one of
    its user: everybody's session 1 is a session of its own.
    """
    whole = F.struct("user_id", F.coalesce("session_id", "list_id").alias("which"))
    minute = F.floor(F.unix_seconds("example_time") / 60).cast("bigint")
    starts = pairs.groupBy(whole.alias("_whole")).agg(F.min(minute).alias("_start"), F.count(F.lit(1)).alias("_rows"))
    # An exact quantile over minutes: however many lists there are, the window bounds the number of minutes.
    bound = starts.agg(F.percentile("_start", F.lit(1 - holdout_share), F.col("_rows")).alias("_bound"))
    placed = starts.join(F.broadcast(bound), on=F.lit(True), how="inner").select(
        "_whole", (F.col("_start") > F.col("_bound")).alias("_held")
    )
    split = F.when(F.col("_held"), _part()).otherwise("train")
    return (
        pairs.withColumn("_whole", whole)
        .join(placed, on="_whole", how="inner")
        .withColumn("split", split)
        .drop("_whole", "_held")
    )


def sampled(pairs: DataFrame, *, rates: Mapping[str, float]) -> DataFrame:
    """Keep every positive of any target, held-out candidates, and other rows at a rate; add `sample_rate`.

    Parameters
    ----------
    rates : mapping of str to float
        By origin, the probability with which a negative is kept: decided by a hash of list and item.
    """
    rate = F.create_map(*(F.lit(part) for pair in rates.items() for part in pair))[F.col("origin")]
    of_a_target = [F.coalesce(F.col(name) == 1, F.lit(False)) for name in ("label", *LATER)]
    whole = (F.col("origin") == CANDIDATES) & (F.col("split") != "train")
    kept = whole | of_a_target[0]
    for target in of_a_target[1:]:
        kept = kept | target
    return pairs.where(kept | (_uniform("list_id", "item_id", salt="negative") < rate)).withColumn(
        "sample_rate", F.when(kept, F.lit(1.0)).otherwise(rate)
    )


def example_rows(features: DataFrame, *, as_of: datetime, table: Table) -> DataFrame:
    """Return rows of `ctr_examples` (`recsys.data.ctr_examples`) from sampled, split examples with features."""
    which = {"as_of": F.lit(as_of), AS_OF_KEY.name: F.lit(stamp(as_of))}
    return features.withColumns(which).select(*table.column_names)


def _part() -> Column:
    drawn = _uniform("user_id", salt="part")
    return F.when(drawn < _VALID, "valid").when(drawn < _CALIBRATION, "calibration").otherwise("test")


def _uniform(*columns: str, salt: str) -> Column:
    """Return a number in [0, 1) that depends on the columns alone."""
    return F.pmod(F.xxhash64(F.lit(salt), *columns), F.lit(_BUCKETS)) / F.lit(float(_BUCKETS))
