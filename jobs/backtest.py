"""Run the pipeline at several past instants, and judge its lists at each and over all of them.

Reads the raw input that --dataset maps. Writes every table of the warehouse up to `recommendations` at each instant,
and one slice of `backtests`, keyed by `backtest, instant, stage, slice, metric, k`. Instants are either the last N
back from --as-of (--instants N --every DAYS), or those from --first to --last. What is done for an instant is skipped.
Every instant needs evaluate.horizon_days of later events. The last line names the back-test.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame, Row

from recsys import data
from recsys.config import Config, parse_as_of
from recsys.evaluation.pooled import POOLED
from recsys.pipeline import backtest
from recsys.pipeline.flags import Flags
from recsys.pipeline.job import load_jobs
from recsys.pipeline.program import program
from recsys.pipeline.summary import aligned, heading
from recsys.spark import build_session
from recsys.store import Warehouse

MORE = (
    (("--instants",), {"type": int, "metavar": "N", "help": "how many instants, the last at --as-of"}),
    (("--first",), {"metavar": "INSTANT", "help": "first instant"}),
    (("--last",), {"metavar": "INSTANT", "help": "no instant after this one"}),
    (("--every",), {"type": int, "default": 7, "metavar": "DAYS", "help": "days between instants; default: 7"}),
)
SHOWN = ("ndcg", "recall", "hit_rate", "snips_ctr", "snips_ess")


def run(flags: Flags, config: Config) -> None:
    """Find the instants, run the pipeline at each, judge, print the pooled figures."""
    asked = flags.extra
    ats = backtest.instants(
        flags.as_of, first=_instant(asked.first), last=_instant(asked.last), every=asked.every, count=asked.instants
    )
    jobs = load_jobs(Path(__file__).parent)
    if flags.dry_run:
        print(flags.plan(config, list(jobs.values())))
        print("instants: " + ", ".join(f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in ats))
        return
    spark = build_session(config, "recsys backtest")
    name = backtest.run_backtest(spark, config, ats, jobs)
    rows = Warehouse(spark, config.warehouse).read(data.BACKTESTS, where={"backtest": name, "instant": POOLED})
    print(heading(f"Known users over {len(ats)} instants, pooled (95% intervals)"))
    print(pooled_figures(rows))
    print(f"\nback-test {name}")


def pooled_figures(rows: DataFrame) -> str:
    """Lay out the pooled figures at the cut-off nearest to 10, a stage or a difference a line."""
    found = rows.where(rows["slice"].isin("known", "all")).collect()  # stages x metrics
    cut = min({row["k"] for row in found if row["k"]}, key=lambda k: (abs(k - 10), k), default=0)
    # Clicks on shown lists have no slices.
    cells = {
        (row["stage"], row["metric"]): row
        for row in found
        if row["k"] == cut and row["slice"] == ("all" if row["metric"].startswith(("snips", "ctr")) else "known")
    }
    names = sorted({stage for stage, _ in cells}, key=lambda stage: ("-" in stage, stage))
    lines = [(stage, *(_text(cells.get((stage, metric))) for metric in SHOWN)) for stage in names]
    return aligned(("stage", *(f"{metric}@{cut}" for metric in SHOWN)), lines)


def _text(row: Row | None) -> str:
    if row is None or row["value"] is None:
        return ""
    ends = "" if row["ci_low"] is None else f" [{row['ci_low']:.4f}, {row['ci_high']:.4f}]"
    return f"{row['value']:.4f}{ends}"


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_as_of(text)


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program("backtest", __doc__, argv, run, more=MORE)


if __name__ == "__main__":
    main()
