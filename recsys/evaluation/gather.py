"""What the report shows besides figures: a few users' lists, broken rows. Every result is of bounded size."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

USERS = 5
LIST_ROWS = 10
PAST_ROWS = 5
MAX_REASONS = 50


def example_users(
    final: DataFrame, *, past: DataFrame, items: DataFrame, as_of: datetime, users: int = USERS
) -> list[dict[str, Any]]:
    """Pick users by a hash of their id and return their lists and the latest that they did.

    Parameters
    ----------
    final : DataFrame
        Rows of `recommendations` of one run.
    past : DataFrame
        Events; those at or after `as_of` are passed over.
    items : DataFrame
        The catalog valid at `as_of`.

    Returns
    -------
    list of dict
        user_id; `past`: (event_type, title) newest first; `items`: rank, title, category, score, reason.
    """
    chosen = final.where("rank = 1").orderBy(F.xxhash64("user_id"), "user_id").limit(users).select("user_id")
    titles = items.select("item_id", F.col("title").alias("name"), "category")
    lists = (
        final.where(F.col("rank") <= LIST_ROWS)
        .join(F.broadcast(chosen), on="user_id", how="left_semi")
        .join(titles, on="item_id", how="left")
        .select("user_id", "rank", F.coalesce("title", "item_id").alias("title"), "category", "score", "reason")
        .collect()
    )
    event = F.struct("event_time", "event_id", "event_type", "item_id")
    newest = (
        past.where((F.col("event_time") < F.lit(as_of)) & ~F.col("is_bot"))
        .join(F.broadcast(chosen), on="user_id", how="left_semi")
        .groupBy("user_id")
        .agg(F.slice(F.reverse(F.array_sort(F.collect_list(event))), 1, PAST_ROWS).alias("latest"))
        .select("user_id", F.posexplode("latest").alias("place", "event"))
        .select(
            "user_id", "place", F.col("event.event_type").alias("event_type"), F.col("event.item_id").alias("item_id")
        )
        .join(titles, on="item_id", how="left")
        .select("user_id", "place", "event_type", F.coalesce("name", "item_id").alias("title"))
        .collect()
    )
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(lists, key=lambda row: (row["user_id"], row["rank"])):
        user = found.setdefault(row["user_id"], {"user_id": row["user_id"], "past": [], "items": []})
        user["items"].append(row.asDict())
    for row in sorted(newest, key=lambda row: row["place"]):
        found[row["user_id"]]["past"].append((row["event_type"], row["title"]))
    return list(found.values())


def broken_rows(quarantine: DataFrame) -> list[dict[str, Any]]:
    """Count broken rows by table and reason, the most frequent first."""
    counted = (
        quarantine.select("target_table", F.explode("reasons").alias("reason"), "copies")
        .groupBy("target_table", "reason")
        .agg(F.sum("copies").alias("n"))
        .orderBy(F.desc("n"), "target_table", "reason")
        .limit(MAX_REASONS)
    )
    return [row.asDict() for row in counted.collect()]
