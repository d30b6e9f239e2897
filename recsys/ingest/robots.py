"""Finds users who are no customers: robots, abuse, test accounts. Causal: a flag depends on earlier events only.

The rules are in `recsys.ingest.robot_rules`; here users' days reach them, and verdicts meet those of earlier batches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from recsys.arrow import group_starts, whole_groups
from recsys.data import EVENT_TYPES
from recsys.ingest.robot_rules import Rows, verdicts
from recsys.ingest.settings import TEST_USER, CleanSettings
from recsys.settings import instant

MOST_A_DAY: Final = 500_000
"""Events of one user and day that are looked at, the earliest ones, unless a limit on rates is higher."""
_FOUND: Final = "user_id string, since bigint, score double, rules_hit array<string>"
VERDICT: Final = ("robot_since", "score", "rules_hit")
"""What is told of a robot."""


def robots(events: DataFrame, settings: CleanSettings, *, baskets: bool = False) -> DataFrame:
    """Find robots: `user_id` (unique), `robot_since`, `score`, `rules_hit` (sorted).

    Parameters
    ----------
    events : DataFrame
        `event_id, user_id, item_id, event_type, event_time, value`: whole UTC days of the users.
    baskets : bool
        Whether events were exploded from one row; such events have one id, each with its place behind it, and are one
        action.
    """
    action = F.regexp_replace("event_id", "-[0-9]+$", "") if baskets else F.col("event_id")
    kinds = F.array(*(F.lit(kind) for kind in EVENT_TYPES))
    rows = events.select(
        "user_id",
        F.xxhash64("user_id", F.to_date("event_time")).alias("part"),
        F.unix_micros("event_time").alias("time"),
        F.xxhash64(action).alias("action"),
        F.xxhash64("item_id").alias("item"),
        # By name: the function of Spark 3.5 takes no column as its second argument.
        (F.call_function("array_position", kinds, F.col("event_type")) - 1).alias("kind"),
        F.col("value").cast("double").alias("value"),
    )
    # By day too, so that no task has to take all days of one busy user.
    sorted_days = rows.repartition("part").sortWithinPartitions("part", "user_id", "time", "action", "item")
    found = sorted_days.mapInArrow(partial(_judged, settings=settings), _FOUND)
    verdict = F.struct(F.timestamp_micros("since").alias("robot_since"), "score", "rules_hit")
    first = found.groupBy("user_id").agg(F.min_by(verdict, "since").alias("verdict"))
    return first.select("user_id", *(F.col(f"verdict.{name}").alias(name) for name in VERDICT))


def _judged(batches: Iterator[pa.RecordBatch], *, settings: CleanSettings) -> Iterator[pa.RecordBatch]:
    """The kernel: verdicts on the days of a partition, which come sorted."""
    most = max(MOST_A_DAY, 2 * settings.bot_events_per_minute, 2 * settings.bot_events_per_hour)
    for table in whole_groups(_cut(batches, most), "part"):
        starts = group_starts(table.column("user_id"))
        users = table.column("user_id").take(pa.array(starts))
        number = np.zeros(table.num_rows, dtype=np.int64)
        number[starts] = 1
        columns = {name: table.column(name).to_numpy() for name in ("time", "action", "item", "kind")}
        value = table.column("value").to_numpy().astype(float)
        found = verdicts(Rows(user=np.cumsum(number) - 1, value=value, **columns), settings)
        if found:
            yield pa.RecordBatch.from_pydict(
                {
                    "user_id": users.take(pa.array([one.user for one in found])).combine_chunks(),
                    "since": pa.array([one.since for one in found], pa.int64()),
                    "score": [one.score for one in found],
                    "rules_hit": [list(one.rules) for one in found],
                }
            )


def _cut(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Leave out what one user does in one day beyond so many rows, so that no group outgrows the memory of a task."""
    last, before = None, 0
    for batch in batches:
        if batch.num_rows == 0:
            continue
        part = batch.column("part").to_numpy()
        starts = np.flatnonzero(np.concatenate(([True], part[1:] != part[:-1])))
        sizes = np.diff(np.append(starts, len(part)))
        rank = np.arange(len(part)) - np.repeat(starts, sizes)
        if part[0] == last:
            rank[: sizes[0]] += before
        last, before = part[-1], int(rank[-1]) + 1
        yield batch if rank.max() < most else batch.filter(pa.array(rank < most))


def is_test_user(settings: CleanSettings) -> Column:
    """Whether `user_id` fits a pattern of the declared test accounts."""
    if not settings.test_users:
        return F.lit(False)
    return F.coalesce(F.col("user_id").rlike("|".join(_java(pattern) for pattern in settings.test_users)), F.lit(False))


def _java(pattern: str) -> str:
    wild = {"*": ".*", "?": "."}
    return f"(?s)^{''.join(wild.get(sign) or re.escape(sign) for sign in pattern)}$"


def with_tests(found: DataFrame, events: DataFrame, settings: CleanSettings) -> DataFrame:
    """Add the test accounts among the users of events: robots from the earliest instant that events can have."""
    if not settings.test_users:
        return found
    tests = events.where(is_test_user(settings)).select("user_id").distinct()
    since = F.lit(instant(settings.earliest)).alias("robot_since")
    declared = tests.select("user_id", since, F.lit(1.0).alias("score"), F.array(F.lit(TEST_USER)).alias("rules_hit"))
    return found.where(~is_test_user(settings)).unionByName(declared)


def told_before(known: DataFrame) -> DataFrame:
    """Return the verdicts of a stored table; those of versions without scores have none."""
    lacking = {"score": F.lit(1.0), "rules_hit": F.lit(None).cast("array<string>")}
    told = [F.col(name) if name in known.columns else lacking[name].alias(name) for name in VERDICT]
    return known.select("user_id", *told, "batch_id")


def with_known(found: DataFrame, known: DataFrame, *, users: DataFrame, start: date | None) -> DataFrame:
    """Bring verdicts of a batch and those of earlier ones together.

    The days from `start` on were judged again for the users of the batch, stored events included: what was found there
    before gives way to what is found now, nothing included. Verdicts of earlier days stand.

    Parameters
    ----------
    found : DataFrame
        What `robots` returned for this batch.
    known : DataFrame
        What earlier batches found; see `told_before`.
    users : DataFrame
        `user_id` of whoever was judged again; repeats are welcome.
    start : date, optional
        None: no stored event was looked at again, and every earlier verdict stands.

    Returns
    -------
    DataFrame
        `user_id, robot_since, score, rules_hit, batch_id` (null where the verdict is new), `is_news`. A user who
        is no longer a robot comes with `robot_since` null.
    """
    again = users.join(known.select("user_id"), on="user_id", how="left_semi").select("user_id").distinct()
    marked = known.join(again.select("*", F.lit(True).alias("again")), on="user_id", how="left")
    if start is None:
        stands = F.lit(True)
    else:
        midnight = F.lit(datetime.fromisoformat(f"{start}T00:00:00+00:00"))
        stands = F.col("again").isNull() | ((F.col("k.robot_since") <= midnight) & ~_declared("k.rules_hit"))
    old = marked.alias("k").select(
        "user_id",
        F.struct(*(F.col(f"k.{name}") for name in (*VERDICT, "batch_id"))).alias("old"),
        stands.alias("stands"),
    )
    nobody = F.lit(None).cast("string").alias("batch_id")
    new = found.select("user_id", F.struct(*VERDICT, nobody).alias("new"))
    both = old.join(new, on="user_id", how="full_outer")
    earlier = F.col("old.robot_since") <= F.coalesce(F.col("new.robot_since"), F.col("old.robot_since"))
    same = F.col("old.robot_since").eqNullSafe(F.col("new.robot_since")) & F.col("old.rules_hit").eqNullSafe(
        F.col("new.rules_hit")
    )
    kept = F.coalesce((F.col("stands") & earlier) | same, F.lit(False))
    verdict = F.when(kept, F.col("old")).otherwise(F.col("new"))
    return both.select(
        "user_id",
        *(verdict.getField(name).alias(name) for name in (*VERDICT, "batch_id")),
        (~kept & ~(F.col("old").isNull() & F.col("new").isNull())).alias("is_news"),
    )


def _declared(rules: str) -> Column:
    return F.coalesce(F.array_contains(rules, TEST_USER), F.lit(False))


def flag_robots(rows: DataFrame, found: DataFrame, *, time_column: str) -> DataFrame:
    """Add `is_bot` to rows with a `user_id`; `found` is what `robots` returned, one row per user."""
    joined = rows.join(found.select("user_id", "robot_since"), on="user_id", how="left")
    is_bot = F.coalesce(F.col(time_column) >= F.col("robot_since"), F.lit(False))
    return joined.select(*rows.columns, is_bot.alias("is_bot"))
