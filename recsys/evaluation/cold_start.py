"""The cold-start ladder: lists and what was taken up, by how much was known of the user and of the item.

Users and items are told apart by their number of events of people before `as_of`: none, 1 to 4, 5 and more.
`docs/retrieval.md` says which retrievers can serve each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.evaluation.stages import FINAL
from recsys.retrieval.tiers import TIERS, tier

IN_WORDS: Final = {"new": "no event", "1-4": "1 to 4 events", "5+": "5 events or more"}
HISTORY: Final = "history:"
"""What the slices of users by their tier begin with."""

Counts = Mapping[str, Any]
"""A row of `crossed`."""


def crossed(
    final: DataFrame,
    *,
    ranked: DataFrame,
    relevant: DataFrame,
    population: DataFrame,
    facts: DataFrame,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Count the items of the final lists and of the truth, by the tiers of user and item.

    Parameters
    ----------
    final : DataFrame
        user_id, item_id: the published lists. Those of users without truth are passed over.
    ranked : DataFrame
        user_id, item_id (unique), sources.
    relevant, population, facts : DataFrame
        Truth, judged users and items; see `recsys.evaluation.truth`.
    names : sequence of str
        The retrievers.

    Returns
    -------
    list of dict
        At most nine: user, item (tiers), listed (items of lists), taken (items of the truth), both, and for each
        retriever `by:<name>`: listed items that it proposed.
    """
    keys = ["user_id", "item_id"]
    history = F.filter("slices", lambda name: name.startswith(HISTORY))[0]
    users = population.select("user_id", F.substring_index(history, ":", -1).alias("user"))
    entries = (
        final.select(*keys, F.lit(1).alias("listed"))
        .join(relevant.select(*keys, F.lit(1).alias("taken")), on=keys, how="full")
        .join(users, on="user_id", how="inner")
        .join(ranked.select(*keys, "sources"), on=keys, how="left")
        .join(facts.select("item_id", "touches"), on="item_id", how="left")
    )
    listed = F.col("listed").isNotNull()
    rows = (
        entries.groupBy("user", tier(F.col("touches")).alias("item"))
        .agg(
            F.count("listed").alias("listed"),
            F.count("taken").alias("taken"),
            F.count_if(listed & F.col("taken").isNotNull()).alias("both"),
            *(F.count_if(listed & F.array_contains("sources", name)).alias(f"by:{name}") for name in names),
        )
        .collect()
    )
    return [row.asDict() for row in sorted(rows, key=lambda row: (row["user"], row["item"]))]


def user_tiers(counts: Sequence[Counts], figures: Sequence[dict[str, Any]], *, k: int) -> list[dict[str, Any]]:
    """Rows of the report's table of users: tier, users, share, no_list, hit_rate, ndcg, sources.

    Parameters
    ----------
    figures : sequence of dict
        Rows of `metrics`; shares and figures of the stage `final` come from there.
    """
    found = {
        (row["slice"], row["metric"]): row
        for row in figures
        if row["stage"] == FINAL and (row["metric"] == "no_list" or row["k"] == k)
    }
    everybody = found.get(("all", "no_list"))
    rows = []
    for name in TIERS:
        part = {metric: found.get((HISTORY + name, metric)) for metric in ("no_list", "hit_rate", "ndcg")}
        if everybody is None or part["no_list"] is None:
            continue
        values = {metric: None if row is None else row["value"] for metric, row in part.items()}
        n = part["no_list"]["n"]
        mine = [row for row in counts if row["user"] == name]
        rows.append(
            {"tier": IN_WORDS[name], "n": n, "share": n / everybody["n"], **values, "sources": sources_in_words(mine)}
        )
    return rows


def item_tiers(counts: Sequence[Counts]) -> list[dict[str, Any]]:
    """Rows of the report's table of items: tier, listed and taken (shares), found (of what was taken up), sources."""
    all_listed, all_taken = _total(counts, "listed"), _total(counts, "taken")
    rows = []
    for name in TIERS:
        mine = [row for row in counts if row["item"] == name]
        listed, taken = _total(mine, "listed"), _total(mine, "taken")
        if listed or taken:
            rows.append(
                {
                    "tier": IN_WORDS[name],
                    "listed": listed / (all_listed or 1),
                    "taken": taken / (all_taken or 1),
                    "found": _total(mine, "both") / taken if taken else None,
                    "sources": sources_in_words(mine),
                }
            )
    return rows


def sources_in_words(counts: Iterable[Counts]) -> str:
    """Say which share of some list items each retriever proposed, the largest first.

    Examples
    --------
    >>> sources_in_words([{"listed": 4, "by:als": 1, "by:popular": 4}])
    'popular 100%, als 25%'
    """
    counts = list(counts)
    names = {name for row in counts for name in row if name.startswith("by:")}
    listed = _total(counts, "listed")
    shares = {name.removeprefix("by:"): _total(counts, name) / listed for name in names} if listed else {}
    ordered = sorted(((share, name) for name, share in shares.items() if share), key=lambda one: (-one[0], one[1]))
    return ", ".join(f"{name} {share:.0%}" for share, name in ordered)


def _total(counts: Iterable[Counts], column: str) -> int:
    return sum(row[column] for row in counts)
