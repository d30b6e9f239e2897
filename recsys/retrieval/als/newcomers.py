"""Take what happened after a fit into its factors: users first, then items that the fit did not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

from recsys.data.index import known_ids, new_rows
from recsys.data.log import Log
from recsys.errors import DataError
from recsys.retrieval.als.folding import folded_in
from recsys.retrieval.frames import persisted


@dataclass(frozen=True)
class Rules:
    """How a fit's equations are made; see `recsys.retrieval.als.folding`."""

    reg: float
    alpha: float
    implicit: bool
    broadcast_limit_mb: float

    @classmethod
    def of(
        cls,
        metrics: Mapping[str, float],
        name: str,
        reg: float | None,
        alpha: float | None,
        implicit: bool,
        broadcast_limit_mb: float,
    ) -> Rules:
        """Read what a fit used out of its figures; where they are missing, out of its settings.

        Raises
        ------
        DataError
            If neither says it.
        """
        found = {"reg": metrics.get("reg", reg), "alpha": metrics.get("alpha", alpha) if implicit else 0.0}
        for key, value in found.items():
            if value is None:
                raise DataError(
                    f"the model of {name} does not say which {key} it was fitted with; fold into one that was fitted "
                    "or loaded here, or set it"
                )
        return cls(float(found["reg"] or 0.0), float(found["alpha"] or 0.0), implicit, broadcast_limit_mb)

    def fold(self, pairs: DataFrame, factors: DataFrame) -> DataFrame:
        """Return `idx, factors` of whoever has pairs: `idx, other, weight`."""
        return folded_in(
            pairs,
            factors,
            reg=self.reg,
            alpha=self.alpha,
            implicit=self.implicit,
            broadcast_limit_mb=self.broadcast_limit_mb,
        )


def numbered(log: Log, *, users: DataFrame, items: DataFrame) -> Log:
    """Return a log with indexes in which the model's users and items keep their numbers.

    Parameters
    ----------
    users, items : DataFrame
        `idx` and the id of those that the model knows.
    """

    def index(entity: str, known: DataFrame) -> DataFrame:
        known = known.select(f"{entity}_id", "idx")
        ids = known_ids(entity, as_of=log.as_of, events=log.events, include_anonymous=True)
        return known.unionByName(new_rows(entity, ids, known, as_of=log.as_of).drop("created_as_of"))

    return replace(log, user_index=index("user", users), item_index=index("item", items))


def active_since(log: Log, since: datetime) -> DataFrame:
    """`user_id` of the people with an event from an instant on."""
    time = F.col("event_time")
    lately = (time >= F.lit(since)) & (time < F.lit(log.as_of)) & ~F.col("is_bot")
    return log.events.where(lately).select("user_id").distinct()


def thin_users(pairs: DataFrame, user_factors: DataFrame, item_factors: DataFrame, rules: Rules) -> DataFrame:
    """Return the factors of the fit's users and, by one more half-step, of the users whom it left out.

    Parameters
    ----------
    pairs : DataFrame
        `user_idx, item_idx, weight` of all users.
    user_factors, item_factors : DataFrame
        `idx, factors` of the fit.
    """
    others = pairs.join(user_factors.select(F.col("idx").alias("user_idx")), on="user_idx", how="left_anti")
    return user_factors.unionByName(rules.fold(_of_users(others), item_factors))


def with_new_events(
    log: Log, pairs: DataFrame, frames: dict[str, DataFrame], rules: Rules, *, since: datetime | None, least: int
) -> dict[str, DataFrame]:
    """Return the frames of an ALS model after what a log holds.

    Parameters
    ----------
    log : Log
        Numbered by `numbered`.
    pairs : DataFrame
        Its `user_idx, item_idx, weight`.
    frames : dict of str to DataFrame
        The model's `user_factors` and `item_factors`.
    since : datetime, optional
        Users without an event from then on keep the factors that they have.
    least : int
        Users with factors that an item needs.
    """
    assert log.user_index is not None and log.item_index is not None
    items, old = (frames[name].select("idx", "factors") for name in ("item_factors", "user_factors"))
    mine = pairs
    if since is not None:
        active = active_since(log, since).join(log.user_index, on="user_id", how="inner")
        mine = pairs.join(active.select(F.col("idx").alias("user_idx")), on="user_idx", how="left_semi")
    solved = rules.fold(_of_users(mine), items).withColumnRenamed("factors", "new")
    users = old.join(solved, on="idx", how="full").select("idx", F.coalesce("new", "factors").alias("factors"))
    with persisted(pairs), persisted(users):
        known = users.select(F.col("idx").alias("user_idx"))
        fresh = pairs.join(items.select(F.col("idx").alias("item_idx")), on="item_idx", how="left_anti")
        fresh = fresh.join(known, on="user_idx", how="left_semi")
        n = F.count("*").over(W.Window.partitionBy("item_idx"))
        fresh = fresh.withColumn("n", n).where(F.col("n") >= least)
        if not fresh.isEmpty():
            items = items.unionByName(rules.fold(_of_items(fresh), users))
    return {
        "user_factors": users.join(log.user_index.select("idx", "user_id"), on="idx", how="inner"),
        "item_factors": items.join(log.item_index.select("idx", "item_id"), on="idx", how="inner"),
    }


def _of_users(pairs: DataFrame) -> DataFrame:
    return pairs.select(F.col("user_idx").alias("idx"), F.col("item_idx").alias("other"), "weight")


def _of_items(pairs: DataFrame) -> DataFrame:
    return pairs.select(F.col("item_idx").alias("idx"), F.col("user_idx").alias("other"), "weight")
