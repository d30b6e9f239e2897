"""Search the settings of one retriever, judged by the last days before an instant.

Reads events, items and users before `as_of`: trials learn from what lies before the last evaluate.horizon_days, and are
judged by what users took up in them, by the rule by which lists are judged. Nothing at or after `as_of` is read, so a
later part remains to judge the outcome. Writes the folder --out: `overlay.yaml` for --config, `report.html`, and
`trials.db`, from which a search that was stopped goes on.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from recsys import data
from recsys.config import Config, stamp
from recsys.data.log import Log
from recsys.errors import ConfigError
from recsys.pipeline.flags import Flags
from recsys.pipeline.program import program
from recsys.progress import note
from recsys.publishing.gates import seen_pairs
from recsys.retrieval.base import Retriever
from recsys.settings import nearest
from recsys.spark import build_session
from recsys.store import Warehouse
from recsys.store.text import write_text
from recsys.tuning.parts import taken_later
from recsys.tuning.report import overlay_yaml, render
from recsys.tuning.search import tune

MORE = (
    (("--retriever",), {"required": True, "metavar": "NAME", "help": "entry of the config's retrievers"}),
    (("--trials",), {"type": int, "default": 30, "metavar": "N", "help": "how many trials; default: 30"}),
    (("--metric",), {"default": "ndcg@10", "metavar": "NAME@K", "help": "ndcg, recall or hit_rate; default: ndcg@10"}),
    (("--minutes",), {"type": float, "metavar": "M", "help": "start no trial after so many minutes"}),
    (("--out",), {"type": Path, "metavar": "DIR", "help": "folder of the driver's disk; default: tuning/NAME-AS_OF"}),
)


def run(flags: Flags, config: Config) -> None:
    """Split, search, write what was found."""
    asked = flags.extra
    retriever = _named(config, asked.retriever)
    out = asked.out or Path("tuning") / f"{retriever.name}-{stamp(flags.as_of)}"
    if flags.dry_run:
        print(flags.plan(config, []))
        print(f"{asked.trials} trials of retrievers.{retriever.name} by {asked.metric}, into {out}")
        return
    spark = build_session(config, "recsys tune")
    train, valid, seen = logs(spark, config, flags)
    out.mkdir(parents=True, exist_ok=True)
    found = tune(
        retriever,
        train,
        valid,
        metric=asked.metric,
        trials=asked.trials,
        signal=config.signal,
        exclude_seen=config.candidates.exclude_seen,
        seen=seen,
        storage=str(out / "trials.db"),
        timeout_seconds=None if asked.minutes is None else 60 * asked.minutes,
    )
    about = (
        f"Found by {len(found.trials)} trials on events before {train.as_of:%Y-%m-%d}, judged by {asked.metric} on the "
        f"{config.evaluate.horizon_days} days after."
    )
    write_text(spark, str(out / "overlay.yaml"), overlay_yaml(found, about=about))
    write_text(spark, str(out / "report.html"), render(found, about=about))
    note(f"report: {out / 'report.html'}")
    print(f"{asked.metric} {found.value:.4f}, before {found.base:.4f}; use it with --config {out / 'overlay.yaml'}")


def _named(config: Config, name: str) -> Retriever:
    found = {one.name: one for one in config.retrievers}
    if name not in found:
        raise ConfigError(f"--retriever {name}: there is no such entry; {nearest(name, list(found), 'entries:')}")
    return found[name]


def logs(spark: SparkSession, config: Config, flags: Flags) -> tuple[Log, Log, DataFrame]:
    """Return what trials learn from, what they are judged by, and what is not to be recommended."""
    rules, tables = config.evaluate, Warehouse(spark, config.warehouse)
    at = flags.as_of - timedelta(days=rules.horizon_days)
    events = tables.read(data.EVENTS, before=at)
    parts: dict[str, Any] = {
        name: tables.read(table, valid_at=at, required=False)
        for name, table in (("users", data.USERS), ("items", data.ITEMS))
    }
    train = Log(events, at, **parts)
    seen = seen_pairs(events, as_of=at, seen_types=config.candidates.seen_types)
    taken = taken_later(
        tables.read(data.EVENTS, before=flags.as_of, since=at),
        events,
        relevant_types=rules.relevant_types,
        min_value=rules.min_value,
        seen=seen if config.candidates.exclude_seen else None,
    )
    return train, Log(taken, flags.as_of), seen


def main(argv: list[str] | None = None) -> None:
    """Console script."""
    program("tune", __doc__, argv, run, more=MORE)


if __name__ == "__main__":
    main()
