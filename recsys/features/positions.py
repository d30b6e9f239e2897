"""How much a position on the page adds to being clicked: the chance of being looked at, relative to position 1.

The click rate by position mixes two things: people look at the top, and lists put the better items there. Two estimates
take them apart. Where the log says how probable each item was at its position (`propensity`), clicks are weighted by
the inverse: each position is then judged on the same mix of items (Joachims et al., "Unbiased Learning-to-Rank with
Biased Feedback", WSDM 2017). Otherwise a click is the product of an item's appeal and the position's effect, and both
are fitted in turns to the counts by item and position, as the position-based model of Wang et al., "Position Bias
Estimation for Unbiased Learning to Rank in Personal Search", WSDM 2018, does. The second way only sees items that were
shown at several positions, and what a list adapts to its user still counts for the position.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys.data import POSITION_EFFECTS, stamp
from recsys.features.shown import MAX_POSITION

MIN_CLICKS: Final = 100
"""Fewer clicks than this, or none at position 1, say nothing about positions."""
MAX_ITEMS: Final = 10_000
"""The items shown most often are enough for fifty numbers; so the counts that reach the driver are bounded."""
LARGEST_WEIGHT: Final = 1_000.0
"""Inverse propensities are cut here, so that a few rows can't decide."""
LEAST: Final = 0.001
_STEPS: Final = 200
_CLOSE: Final = 1e-6

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]


def position_effects(shown: DataFrame, *, as_of: datetime) -> DataFrame | None:
    """Estimate the effect of each position from shown lists.

    Sums by position (at most 50 rows) reach the driver; without propensities also counts by item and position, of at
    most `MAX_ITEMS` items.

    Parameters
    ----------
    shown : DataFrame
        What `recsys.features.shown.shown_items` returns, of the window to learn from.
    as_of : datetime
        The instant that the estimate is of; all of `shown` is earlier.

    Returns
    -------
    DataFrame or None
        Rows of `recsys.data.POSITION_EFFECTS`; None if there are too few clicks.
    """
    sums = _sums(shown)
    position, clicked = sums["position"], sums["clicked"]
    first = position == 1
    if clicked.sum() < MIN_CLICKS or not clicked[first].sum():
        return None
    known = sums["known_clicks"]
    if known.sum() >= MIN_CLICKS and known[first].sum():
        method, effect = "propensity", _rates(sums["weighted"], sums["weight"])
    else:
        method, cells = "alternating", _cells(shown)
        item = np.unique(cells["item"], return_inverse=True)[1]
        fitted = alternate(item, cells["position"], shown=cells["shown"], clicked=cells["clicked"])
        effect = fitted[position]
    effect = _bounded(position, effect)
    rows = [
        (as_of, stamp(as_of), int(place), float(value), int(n), int(clicks), method)
        for place, value, n, clicks in zip(position, effect, sums["shown"], clicked, strict=True)
    ]
    return shown.sparkSession.createDataFrame(rows, POSITION_EFFECTS.ddl())


def alternate(item: Ints, position: Ints, *, shown: Ints, clicked: Ints) -> Floats:
    """Fit clicks = shown × appeal of the item × effect of the position, by turns, until neither changes.

    Parameters
    ----------
    item, position : array of int, shape (cells,)
        Row numbers of items from 0; positions from 1 to `MAX_POSITION`; unique in pairs.
    shown, clicked : array of int, shape (cells,)
        How often the item was shown and clicked there.

    Returns
    -------
    array of float, shape (`MAX_POSITION` + 1,)
        The effect by position, up to a factor; NaN where nothing was shown that was ever clicked.
    """
    items, positions = int(item.max()) + 1, MAX_POSITION + 1
    of_item, of_position = _summed(item, clicked, items), _summed(position, clicked, positions)
    effect = np.ones(positions)
    for _ in range(_STEPS):
        appeal = _rates(of_item, _summed(item, shown * effect[position], items))
        fresh = _rates(of_position, _summed(position, shown * np.nan_to_num(appeal)[item], positions))
        fresh = fresh / np.nanmax(fresh)
        moved = np.nanmax(np.abs(fresh - effect))
        effect = np.nan_to_num(fresh)
        if moved < _CLOSE:
            break
    return fresh


def _bounded(position: Ints, effect: Floats) -> Floats:
    """Bring effects relative to position 1 into [`LEAST`, 1]; where nothing is known, between the neighbors."""
    known = np.isfinite(effect)
    whole = np.interp(position, position[known], effect[known])
    bounded: Floats = np.clip(whole / whole[position == 1], LEAST, 1.0)
    return bounded


def _rates(amount: Numbers, exposure: Numbers) -> Floats:
    """Divide; NaN where nothing was exposed."""
    rates = np.full(len(amount), np.nan)
    np.divide(amount, exposure, out=rates, where=exposure > 0)
    return rates


def _summed(group: Ints, amount: Numbers, size: int) -> Floats:
    weights = np.asarray(amount, dtype=np.float64)
    summed: Floats = np.bincount(group, weights=weights, minlength=size).astype(np.float64)
    return summed


def _sums(shown: DataFrame) -> dict[str, Numbers]:
    """Return sums by position as arrays, in the order of positions."""
    known = F.col("propensity").isNotNull()
    weight = F.least(1 / F.col("propensity"), F.lit(LARGEST_WEIGHT)).cast("decimal(38,9)")
    rows = (
        shown.groupBy("position")
        .agg(
            F.count(F.lit(1)).alias("shown"),
            F.sum("clicked").alias("clicked"),
            F.sum(F.when(known, F.col("clicked")).otherwise(0)).alias("known_clicks"),
            F.coalesce(F.sum(weight).cast("double"), F.lit(0.0)).alias("weight"),
            F.coalesce(F.sum(F.when(F.col("clicked") > 0, weight)).cast("double"), F.lit(0.0)).alias("weighted"),
        )
        .orderBy("position")
        .collect()
    )
    names = ("position", "shown", "clicked", "known_clicks", "weight", "weighted")
    return {name: np.array([row[name] for row in rows]) for name in names}


def _cells(shown: DataFrame) -> dict[str, Numbers]:
    """Return counts by item and position of the items shown most, in a fixed order."""
    often = shown.groupBy("item_id").agg(F.count(F.lit(1)).alias("n")).orderBy(F.desc("n"), "item_id").limit(MAX_ITEMS)
    frame = (
        shown.join(often.select("item_id"), on="item_id", how="left_semi")
        .groupBy("item_id", "position")
        .agg(F.count(F.lit(1)).alias("shown"), F.sum("clicked").alias("clicked"))
        .orderBy("item_id", "position")
        .toPandas()
    )
    counts = {name: frame[name].to_numpy(dtype=np.int64) for name in ("position", "shown", "clicked")}
    return {"item": frame["item_id"].to_numpy(), **counts}
