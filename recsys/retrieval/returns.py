"""Takes back what a return undoes: the weight of the earlier purchase that it matches, from the return on."""

from __future__ import annotations

from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import window as W

PURCHASE, RETURN = "purchase", "return"
_PAIR: Final = ("user_id", "item_id")
_SCALE: Final = 1_000_000
"""Quantities are added as integers of this fraction, so that no sum depends on the order of its terms."""


def canceled(events: DataFrame) -> DataFrame:
    """Find how much of each purchase's units later returns take back.

    A return takes units from the newest purchases that are still kept, like a stack. What it has beyond them (the
    purchase is older than the log) takes nothing from later purchases. A return at a purchase's very instant is not
    later.

    Parameters
    ----------
    events : DataFrame
        `user_id, item_id, event_type, event_time, quantity, units` of purchases and returns before the instant that
        is asked about; a null quantity is one unit. Other types are left out.

    Returns
    -------
    DataFrame
        `user_id, item_id, units, whole`, one row per purchase that lost some: the integer `units` of it that are
        gone, and whether that is all of it.
    """
    rows = events.where(F.col("event_type").isin(PURCHASE, RETURN))
    returned = rows.where(F.col("event_type") == RETURN).select(*_PAIR).distinct()
    bought = F.col("event_type") == PURCHASE
    amount = F.rint(F.coalesce(F.col("quantity"), F.lit(1.0)) * _SCALE).cast("bigint")
    found = rows.join(returned, on=list(_PAIR), how="left_semi").select(
        *_PAIR, "event_time", "units", bought.alias("bought"), amount.alias("amount")
    )
    order = W.Window.partitionBy(*_PAIR).orderBy("event_time", "bought", "amount", "units")
    so_far = order.rowsBetween(W.Window.unboundedPreceding, W.Window.currentRow)
    from_here = order.rowsBetween(W.Window.currentRow, W.Window.unboundedFollowing)
    signed = F.when(F.col("bought"), F.col("amount")).otherwise(-F.col("amount"))
    summed = found.select("*", F.sum(signed).over(so_far).alias("sum"))
    # What the user keeps, which no return takes below nothing.
    level = F.col("sum") - F.least(F.lit(0), F.min("sum").over(so_far))
    leveled = summed.select("*", level.alias("level"))
    below = F.coalesce(F.lag("level").over(order), F.lit(0))
    kept = F.greatest(F.lit(0), F.min("level").over(from_here) - below)
    shares = leveled.select("*", (1 - kept / F.col("amount")).alias("gone")).where("bought AND gone > 0")
    return shares.select(
        *_PAIR,
        F.rint(F.col("units") * F.col("gone")).cast("bigint").alias("units"),
        (F.col("gone") == 1).alias("whole"),
    )
