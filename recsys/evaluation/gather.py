"""What the report shows besides figures: a few users' lists, broken rows. Every result is of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import CHECK_STATUSES

USERS = 5
LIST_ROWS = 10
PAST_ROWS = 5
MAX_REASONS = 50
MIX_ROWS = 20
MAX_CHECKS = 40
CHECK_INSTANTS = 30


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


def odd_checks(checks: DataFrame, *, as_of_key: str) -> list[dict[str, Any]]:
    """Rows of `checks` of one instant that are not ok, the gravest first."""
    status = F.col("status")
    grave = F.coalesce(*(F.when(status == one, F.lit(place)) for place, one in enumerate(CHECK_STATUSES)))
    odd = checks.where((F.col("as_of_key") == as_of_key) & (status != "ok"))
    ordered = odd.orderBy(grave.desc(), "table_name", "check_name", "subject").limit(MAX_CHECKS)
    return [row.asDict() for row in ordered.collect()]


def check_counts(checks: DataFrame, *, as_of_key: str) -> list[tuple[str, dict[str, int]]]:
    """Count the checks of the newest instants up to one by status, the oldest first."""
    counted = (
        checks.where(F.col("as_of_key") <= as_of_key)
        .groupBy("as_of_key")
        .agg(*(F.count_if(F.col("status") == status).alias(status) for status in CHECK_STATUSES))
        .orderBy(F.desc("as_of_key"))
        .limit(CHECK_INSTANTS)
    )
    rows = [row.asDict() for row in counted.collect()]
    return [(row.pop("as_of_key")[:8], row) for row in reversed(rows)]


def reason_mix(final: DataFrame) -> list[tuple[str, float]]:
    """Share of the final lists' items that each reason was given for, the most frequent first."""
    return _shares(final.select(F.col("reason_code").alias("name")), of=final)


def source_mix(final: DataFrame, ranked: DataFrame) -> list[tuple[str, float]]:
    """Share of the final lists' items that each retriever proposed; an item may have several."""
    proposed = final.select("user_id", "item_id").join(
        ranked.select("user_id", "item_id", "sources"), on=["user_id", "item_id"], how="inner"
    )
    return _shares(proposed.select(F.explode("sources").alias("name")), of=final)


def _shares(named: DataFrame, *, of: DataFrame) -> list[tuple[str, float]]:
    counted = named.groupBy("name").agg(F.count("*").alias("n"))
    shares = counted.crossJoin(F.broadcast(of.agg(F.count("*").alias("total"))))
    rows = shares.orderBy(F.desc("n"), "name").limit(MIX_ROWS).collect()
    return [(row["name"], row["n"] / row["total"]) for row in rows]


def job_seconds(runs: DataFrame, *, as_of: datetime) -> list[tuple[str, float]]:
    """Wall-clock time of the newest finished run of each job: for the instant, else of any, in their order of time.

    Parameters
    ----------
    runs : DataFrame
        Rows of `recsys.data.RUNS`.
    """
    mine = (F.col("as_of") == F.lit(as_of)).cast("int")
    newest = F.struct(mine.alias("mine"), "started_at", "seconds")
    found = runs.where("status = 'done'").groupBy("job").agg(F.max(newest).alias("newest"))
    rows = found.select("job", "newest.started_at", "newest.seconds").orderBy("started_at", "job").collect()
    return [(row["job"], row["seconds"]) for row in rows]


def position_curve(effects: DataFrame | None) -> list[tuple[int, float]]:
    """Position and effect, in order; as many as a list has positions."""
    if effects is None:
        return []
    return [(row["position"], row["effect"]) for row in effects.orderBy("position").collect()]


def reliability_of(metrics: Mapping[str, float]) -> dict[str, list[tuple[float, float, int]]]:
    """Read the reliability curves out of a ranker's figures: by head, (mean prediction, share of positives, rows)."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, value in metrics.items():
        head, _, rest = name.partition("_test_reliability_")
        number, _, what = rest.partition("_")
        if what:
            found.setdefault(head, {}).setdefault(number, {})[what] = value
    return {
        head: [(bin["predicted"], bin["observed"], int(bin["rows"])) for _, bin in sorted(bins.items())]
        for head, bins in found.items()
    }


def alphas_of(model: Mapping[str, Any] | None) -> list[tuple[float, float, float | None]]:
    """Read what was tried for the exponent of the first head of value: it, NDCG, SNIPS."""
    points = (model or {}).get("curve") or []
    return [(p["weight"], p["ndcg"], p["snips"]) for p in points if p["head"] == points[0]["head"]]
