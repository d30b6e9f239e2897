"""Make a synthetic shop: ``python -m recsys.synthetic --out DIR --events 1000000``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from recsys.synthetic.config import ShopConfig
from recsys.synthetic.generate import generate
from recsys.synthetic.manifest import MANIFEST_NAME, Manifest

DONE, BAD_USE = 0, 2


def parser() -> argparse.ArgumentParser:
    """Return the flags of the command."""
    about = "Write the raw logs of a synthetic shop."
    flags = argparse.ArgumentParser("python -m recsys.synthetic", description=about)
    add = flags.add_argument
    add("--out", required=True, metavar="DIR", help="where to write; must not hold a finished shop")
    add("--events", type=int, default=1_000_000, metavar="N", help="user actions (default: 1000000)")
    add("--seed", type=int, default=7, help="any integer (default: 7)")
    add("--days", type=int, default=60, help="days of the log (default: 60)")
    add("--users", type=int, metavar="N", help="default: one per 40 events")
    add("--items", type=int, metavar="N", help="default: 5 x the square root of the events")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other key (repeatable)")
    add("--cores", type=int, metavar="N", help="cores of the local session (default: all)")
    add("--force", action="store_true", help="replace a finished shop in DIR")
    names = ", ".join(name for name in ShopConfig.model_fields if name not in {"n_events", "seed", "days"})
    flags.epilog = f"Keys of --set: {names}."
    return flags


def config_of(args: argparse.Namespace) -> ShopConfig:
    """Turn flags into a config; raises ValueError with one sentence if they are invalid."""
    changes: dict[str, object] = {"n_users": args.users, "n_items": args.items}
    for pair in args.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair!r}: expected KEY=VALUE")
        changes[key.strip()] = value.strip()
    try:
        return ShopConfig.for_events(args.events, seed=args.seed, days=args.days, **changes)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        raise ValueError(f"{where}: {first['msg']} (found {first['input']!r})") from None


def describe(manifest: Manifest, out_dir: str) -> str:
    """Return a short summary of a shop, for people."""
    rows, auc = manifest.rows, manifest.auc
    dirty = sum(manifest.defects["events"].values())
    return "\n".join([
        f"{rows['events']:,} events ({dirty:,} of them spoiled), {rows['impressions']:,} shown lists, "
        f"{rows['catalog']:,} catalog lines, {rows['profiles']:,} profiles",
        f"{manifest.start} to {manifest.end} (exclusive), {manifest.distinct['users']:,} people, "
        f"{manifest.bots['users']:,} bots, {100 * manifest.ctr:.1f}% of shown items clicked",
        f"AUC on shown items: popularity {auc['popularity']:.3f}, true probability {auc['truth']:.3f} "
        f"(without the position {auc['relevance']:.3f})",
        f"written to {out_dir}, see {MANIFEST_NAME}",
    ])  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when done and 2 for invalid flags."""
    args = parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("recsys").setLevel(logging.INFO)
    try:
        cfg = config_of(args)
    except ValueError as error:
        print(f"recsys.synthetic: {error}", file=sys.stderr)
        return BAD_USE
    if (Path(args.out) / MANIFEST_NAME).exists() and not args.force:
        message = f"{args.out} holds a finished shop; pass --force to replace it"
        print(f"recsys.synthetic: {message}", file=sys.stderr)
        return BAD_USE
    from recsys.spark import local_session

    spark = local_session("recsys-synthetic", cores=args.cores)
    try:
        print(describe(generate(spark, cfg, args.out), args.out))
    finally:
        spark.stop()
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
