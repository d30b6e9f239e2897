"""What the ranker is worth, on data of each kind.

    python -m benchmarks.ranker --data shop [--rows 1000000] [--seed 7] [--shuffled]
    python -m benchmarks.ranker --data DIR --dataset trivago-100k
    python -m benchmarks.ranker --data DIR --dataset movielens-1m [--instants 8] [--shuffled]
    python -m benchmarks.ranker --data DIR --dataset frappe [--seeds 3]

On the shop: the final list beside the union of the retrievers, the true click probability of the first ten, and the AUC
of clicks. On trivago: clickouts after an instant. On logs with times: the pipeline at several past instants. On Frappe:
a click table. `--shuffled` adds what the guard says to a ranker whose labels were shuffled. DIR is the folder of the
data sets. The last line on stdout is one JSON object; a figure's interval is under its name with `_low` and `_high`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.machine import Meter, describe
from benchmarks.ranking import backtests, shop, trivago

SHOP = "shop"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, help="shop, or the folder of the data sets")
    add("--dataset", choices=["trivago-100k", "frappe", *backtests.LAST], help="which data set of the folder")
    add("--rows", type=int, default=1_000_000, help="events of the shop")
    add("--seed", type=int, default=7, help="seed of the shop")
    add("--instants", type=int, default=8, help="past instants of a log with times")
    add("--seeds", type=int, default=3, help="fits on a click table")
    add("--shuffled", action="store_true", help="also train on shuffled labels")
    add("--dir", default="benchmark-ranker", help="scratch directory; what is done in it is not done again")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override one config key")
    flags = parser.parse_args()
    if flags.data != SHOP and flags.dataset is None:
        parser.error("--dataset says which data set of the folder; or give --data shop")
    with Meter() as meter:
        metrics = measure(flags)
        metrics |= {"cpu_s": round(meter.cpu_seconds(), 1), "peak_gib": round(meter.take_peak() / 2**30, 2)}
    name = flags.dataset or SHOP
    print(json.dumps({"name": "ranker", "data": name, "metrics": metrics, "machine": describe()}))


def measure(flags: argparse.Namespace) -> dict[str, Any]:
    """Measure on the data that the flags name."""
    scratch = Path(flags.dir)
    if flags.data == SHOP:
        return shop.measure(flags.rows, flags.seed, scratch, flags.set, shuffled=flags.shuffled)
    folder, scratch = Path(flags.data) / flags.dataset, scratch / flags.dataset
    if flags.dataset == "frappe":
        from benchmarks.ctr import SETTINGS, fits, summary

        return summary(fits(folder, "DeepFM", SETTINGS, flags.seeds))
    if flags.dataset == "trivago-100k":
        return trivago.measure(folder, scratch, flags.set)
    return backtests.measure(
        flags.dataset, folder, scratch, flags.set, instants=flags.instants, shuffled=flags.shuffled
    )


if __name__ == "__main__":
    main()
