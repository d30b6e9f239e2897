"""The users who may get lists, and their past."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.data import ANONYMOUS_PREFIX
from recsys.data.callers import AnyFrame, Ids, column_of, spark_frame
from recsys.data.catalogs import catalog_frame
from recsys.data.log import Log
from recsys.retrieval.frames import Eligible, tie
from recsys.retrieval.interactions import pairs
from recsys.retrieval.settings import SignalSettings
from recsys.retrieval.tiers import TIERS, tier

AnyUsers = AnyFrame | Sequence[Any]
"""Users that a caller names: a frame with the user column, or a list of ids."""

_PLACE = "audience"


@dataclass(frozen=True)
class Audience:
    """Who may get lists.

    Attributes
    ----------
    people : DataFrame
        `user_id, segment, tier`; distinct users. The tier, one of `recsys.retrieval.tiers.TIERS`, is needed where a
        retriever does not serve all of them.
    histories : DataFrame
        `user_id, item_id, weight, last_time, seen`: everything strictly before the instant; see
        `recsys.retrieval.interactions.pairs`.
    item_index : DataFrame
        `item_id, idx`.
    ids : Ids
        The id columns and types of whoever asks.
    """

    people: DataFrame
    histories: DataFrame
    item_index: DataFrame
    ids: Ids = field(default_factory=Ids)

    @classmethod
    def of(cls, log: Log, *, signal: SignalSettings) -> Audience:
        """Make the audience of everybody in a log; every item that a user has touched counts as seen."""
        indexed = log.indexed()
        assert indexed.item_index is not None
        people = known_users(log.events, log.users, as_of=log.as_of, include_anonymous=True)
        past = pairs(log.events, as_of=log.as_of, signal=signal, seen_types=("*",))
        return cls(people, past, indexed.item_index, log.ids)

    @property
    def segments(self) -> DataFrame:
        """`user_id, segment` of the users with a segment."""
        return self.people.where(F.col("segment").isNotNull() & (F.col("segment") != "")).select("user_id", "segment")

    @property
    def seen(self) -> DataFrame:
        """`user_id, item_id` of what users have seen."""
        return self.histories.where("seen").select("user_id", "item_id")

    def users(self, named: AnyUsers | None) -> DataFrame:
        """Return the `user_id` of the users that a caller names, known or not; of everybody for None.

        Raises
        ------
        DataError
            If a frame lacks the user column.
        """
        if named is None:
            return self.people.select("user_id")
        if isinstance(named, Sequence):
            texts = [(str(name).lower() if isinstance(name, bool) else str(name),) for name in named]
            frame = self.people.sparkSession.createDataFrame(texts, "user_id string")
        else:
            frame = self.ids.adopt(spark_frame(named, like=self.people))
        return frame.select(column_of(frame, "user_id")).where(F.col("user_id").isNotNull()).distinct()

    def adopted(self, pairs: AnyFrame) -> DataFrame:
        """Return a caller's frame of users and items with `user_id` and `item_id` as texts.

        Raises
        ------
        DataError
            If it lacks one of them.
        """
        frame = self.ids.adopt(spark_frame(pairs, like=self.people))
        return frame.withColumns({name: column_of(frame, name) for name in ("user_id", "item_id")})

    def of_users(self, users: DataFrame) -> Audience:
        """Return the audience of these users alone; one that is not known has neither a segment nor a past."""
        people = users.select("user_id").join(self.people, on="user_id", how="left")
        past = self.histories.join(users.select("user_id"), on="user_id", how="left_semi")
        return Audience(people, past, self.item_index, self.ids)

    def plain(self) -> dict[str, Any]:
        """What is written of it as plain values; `frames` are written beside them."""
        return {"ids": asdict(self.ids)}

    def frames(self) -> dict[str, DataFrame]:
        """Its frames, by the places that they are written to."""
        return {
            f"{_PLACE}/people": self.people,
            f"{_PLACE}/histories": self.histories.select("user_id", "item_id", "weight", "last_time", "seen"),
            f"{_PLACE}/item_index": self.item_index.select("item_id", "idx"),
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any], frame: Callable[[str], DataFrame]) -> Audience:
        """Make an audience of what was written: `frame` returns what lies at a place."""
        people, histories, index = (frame(f"{_PLACE}/{name}") for name in ("people", "histories", "item_index"))
        if "tier" not in people.columns:  # A model of a version without tiers served everybody alike.
            people = people.withColumn("tier", F.lit(TIERS[-1]))
        return cls(people, histories, index, Ids(**plain["ids"]))

    def eligible(self, items: AnyFrame) -> Eligible:
        """Return the items of a caller's frame that are not marked unavailable."""
        catalog = catalog_frame(items, self.ids, like=self.people)
        return Eligible(catalog.where("available").select("item_id"), listed=True)


def known_users(
    events: DataFrame,
    profiles: DataFrame | None,
    *,
    as_of: datetime,
    shown: DataFrame | None = None,
    indexed: DataFrame | None = None,
    user_window_days: int | None = None,
    include_anonymous: bool = False,
) -> DataFrame:
    """Return `user_id, segment, tier` of everybody who has an event, a profile or a shown list before the instant.

    Robots are left out: users with any flagged event, and of users without events those with any flagged list.

    Parameters
    ----------
    events : DataFrame
        `user_id, event_time, is_bot`.
    profiles : DataFrame, optional
        One row per user, valid at the instant: `user_id, segment`, and `signed_up_at` for `user_window_days`.
    shown : DataFrame, optional
        Shown lists: `user_id, shown_at, is_bot`.
    indexed : DataFrame, optional
        The index of users, `user_id, created_as_of`: it also knows those whose lists `shown` does not reach back to.
    user_window_days : int, optional
        Leave out users who neither did anything nor signed up nor were shown a list in these days.
    include_anonymous : bool
        Whether visitors known by a session only count.
    """
    past = _last_seen(events, shown, indexed, F.lit(as_of))
    if profiles is None:
        known = past.withColumn("segment", F.lit(None).cast("string"))
    else:
        signed_up = [] if user_window_days is None else ["signed_up_at"]
        known = past.join(profiles.select("user_id", "segment", *signed_up), on="user_id", how="full")
    kept = known.where(~F.coalesce("is_bot", F.lit(False)))
    if user_window_days is not None:
        since = F.lit(as_of - timedelta(days=user_window_days))
        lately = F.col("last_time") >= since
        kept = kept.where(lately if profiles is None else lately | (F.col("signed_up_at") >= since))
    if not include_anonymous:
        kept = kept.where(~F.col("user_id").startswith(ANONYMOUS_PREFIX))
    return kept.select("user_id", "segment", tier(F.col("n")).alias("tier"))


def _last_seen(events: DataFrame, shown: DataFrame | None, indexed: DataFrame | None, bound: Column) -> DataFrame:
    """`user_id, last_time, n, is_bot`: one row per user of any of the three, with the number of events."""

    def rows(frame: DataFrame, time: str, is_event: bool, is_bot: Column) -> DataFrame:
        counted = frame.where(F.col(time) < bound)
        return counted.select("user_id", F.col(time).alias("time"), F.lit(is_event).alias("is_event"), is_bot)

    together = rows(events, "event_time", True, F.col("is_bot"))
    if shown is not None:
        together = together.unionByName(rows(shown, "shown_at", False, F.col("is_bot")))
    if indexed is not None:
        # The index says nothing of when: of a run for this instant or an earlier one, so of before it.
        ids = indexed.where(F.col("created_as_of") <= bound)
        none = F.lit(None).cast("timestamp").alias("time")
        together = together.unionByName(
            ids.select("user_id", none, F.lit(False).alias("is_event"), F.lit(False).alias("is_bot"))
        )
    robot, n = F.col("is_bot"), F.count_if("is_event")
    return together.groupBy("user_id").agg(
        F.max("time").alias("last_time"),
        n.alias("n"),
        (F.max(robot & F.col("is_event")) | ((n == 0) & F.max(robot))).alias("is_bot"),
    )


def packed(audience: Audience, columns: Mapping[str, DataFrame]) -> DataFrame:
    """Put everything that kernels need of a user into one row.

    Parameters
    ----------
    columns : mapping of str to DataFrame
        By the name of a retriever, what it knows of users: `user_id` (unique) and its columns.

    Returns
    -------
    DataFrame
        The columns of the people; side by side, in the order of `latest_first`, the arrays `idx`, `weight`, `seen`
        (null without a past); and each retriever's columns as `<retriever>:<column>` (null where it does not know the
        user).
    """
    age = (-F.unix_micros("last_time")).alias("age")
    entry = F.struct(age, tie().alias("tie"), "item_id", "idx", "weight", "seen")
    past = (
        audience.histories.join(audience.item_index.select("item_id", "idx"), on="item_id", how="inner")
        .groupBy("user_id")
        .agg(F.array_sort(F.collect_list(entry)).alias("past"))
        .select("user_id", "past.idx", "past.weight", "past.seen")
    )
    rows = audience.people.join(past, on="user_id", how="left")
    for retriever, frame in columns.items():
        named = {name: column_name(retriever, name) for name in frame.columns if name != "user_id"}
        rows = rows.join(frame.withColumnsRenamed(named), on="user_id", how="left")
    return rows


def column_name(retriever: str, column: str) -> str:
    """Name of a retriever's own column among the packed rows."""
    return f"{retriever}:{column}"
