"""How much is known of a user or an item: the steps of the cold-start ladder."""

from __future__ import annotations

from typing import Final, Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

Tier = Literal["new", "1-4", "5+"]
"""Users and items by their number of events of people before an instant: none, 1 to 4, 5 and more."""

TIERS: Final[tuple[Tier, ...]] = ("new", "1-4", "5+")
ENOUGH: Final = 5
"""Events from which on a user or an item is no longer cold."""


def tier(n: Column) -> Column:
    """Name the tier of a user or an item with `n` events; null counts as none."""
    few = F.when(n < ENOUGH, TIERS[1]).otherwise(TIERS[2])
    return F.when(F.coalesce(n, F.lit(0)) == 0, TIERS[0]).otherwise(few)
