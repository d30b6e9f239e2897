"""What popularity can mean: which events count, how much, and what a list is ordered by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

from recsys.retrieval.interactions import counts_as_interest, type_weight
from recsys.retrieval.settings import SignalSettings

ScoreName = Literal["users", "decayed", "trending", "rate"]

SCALE = 1_000_000
"""Weights are summed as integers of this fraction, so that no sum depends on the order of its terms."""
_Z = 1.96
"""Quantile of the normal distribution: the bound that a rate is above in 97.5 % of samples."""


@dataclass(frozen=True)
class Scoring:
    """A score with its settings; those of other scores don't matter.

    Attributes
    ----------
    name : {"users", "decayed", "trending", "rate"}
        `users`: weighted users. `decayed`: the same, less for older events. `trending`: users of late over those that
        the whole window lets expect. `rate`: the share of users with a success among those who tried.
    half_life_days : float
        Age at which an event counts half (`decayed`).
    recent_days : float
        Days that count as of late (`trending`).
    prior_users : float
        Weighted users, of late and expected, that every item starts with (`trending`).
    success_types, trial_types : sequence of str
        Events that are a success, and those that are a trial; a success is a trial as well (`rate`).
    success_value : float, optional
        A rating is a success from this value on (`rate`).
    """

    name: ScoreName = "users"
    half_life_days: float = 7.0
    recent_days: float = 7.0
    prior_users: float = 10.0
    success_types: Sequence[str] = ("purchase",)
    trial_types: Sequence[str] = ("view", "click")
    success_value: float | None = None

    @property
    def columns(self) -> list[str]:
        """What is counted of a user and an item: `units`, and `more` where the score compares two counts."""
        return ["units", "more"] if self.name in ("trending", "rate") else ["units"]

    def counts(self, signal: SignalSettings) -> Column:
        """Whether an event counts."""
        if self.name == "rate":
            return F.col("event_type").isin([*self.trial_types, *self.success_types])
        return counts_as_interest(signal.weights, signal.min_value)

    def units(self, signal: SignalSettings, days: Column) -> Column:
        """How much an event of this age counts, as an integer."""
        if self.name == "rate":
            return F.lit(1).cast("bigint")
        weight = type_weight(signal.weights)
        if self.name == "decayed":
            weight = weight * F.pow(F.lit(0.5), days / F.lit(float(self.half_life_days)))
        return F.rint(weight * SCALE).cast("bigint")

    def more(self, signal: SignalSettings, days: Column) -> Column:
        """What is compared with the units: those of late, or whether the event is a success."""
        if self.name == "rate":
            success = F.col("event_type").isin(list(self.success_types))
            if self.success_value is not None:
                enough = F.coalesce(F.col("value") >= F.lit(float(self.success_value)), F.lit(False))
                success &= (F.col("event_type") != "rating") | enough
            return F.when(success, 1).otherwise(0).cast("bigint")
        return F.when(days <= F.lit(float(self.recent_days)), self.units(signal, days)).otherwise(0).cast("bigint")

    @property
    def least(self) -> float:
        """Above this score an item may be called popular."""
        return 1.0 if self.name == "trending" else 0.0

    def score(self) -> Column:
        """The score of an item from its sums `units` and `more`, and `all_units` and `all_more` of the list."""
        if self.name == "trending":
            scale, prior = F.lit(float(SCALE)), F.lit(float(self.prior_users))
            expected = F.col("units") / scale * (F.col("all_more") / F.col("all_units"))
            return (F.col("more") / scale + prior) / (expected + prior)
        if self.name == "rate":
            return wilson(F.col("more"), F.col("units"))
        return F.col("units") / F.lit(float(SCALE))


def wilson(successes: Column, trials: Column) -> Column:
    """Lower end of Wilson's interval of a rate (Journal of the American Statistical Association 22, 1927).

    Few trials give a low bound, so an item with one success of one trial does not lead the list.
    """
    rate, square = successes / trials, F.lit(_Z * _Z)
    spread = F.lit(_Z) * F.sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    bound = (rate + square / (2 * trials) - spread) / (1 + square / trials)
    return F.when(bound < 0, F.lit(0.0)).otherwise(bound)
