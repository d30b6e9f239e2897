"""Compare the newest day of the tables with the days before it.

Reads events, shown lists, items and users before `as_of`, and quarantine; writes the slice `as_of` of `checks`, keyed
by `as_of_key, table_name, check_name, subject`. Stops after it has written (exit 3) where a check fails that the config
lets stop the pipeline.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pyspark.sql import DataFrame

from recsys import data
from recsys.checks.counting import gather
from recsys.checks.facts import Past
from recsys.checks.judge import judge
from recsys.checks.outcome import check_rows, require
from recsys.errors import DataError
from recsys.features.daily import newest_event, require_past
from recsys.pipeline import Context, job
from recsys.progress import note, step
from recsys.store import Replace, Writes


@job(
    "check",
    reads=(data.EVENTS, data.IMPRESSIONS, data.ITEMS, data.USERS, data.QUARANTINE),
    writes=(data.CHECKS,),
    config=("check",),
)
def run(context: Context) -> Writes:
    """Count, judge; what stops the job is written first."""
    settings, as_of = context.config.check, context.as_of
    past = past_of(context, settings.window_days)
    with step("count the newest day and the window before it"):
        facts = gather(past, as_of=as_of)
    if "events" not in facts.latest:
        facts = replace(facts, latest={**facts.latest, "events": _newest(context, past)})
    findings = judge(facts, settings, as_of=as_of)
    for one in findings:
        if one.status in ("warn", "stop"):
            note(f"{one.status}: {one.table}, {one.check}: {one.message}")
    rows = check_rows(findings, like=past.events, as_of=as_of, run_id=context.run_id)
    return Writes([Replace(data.CHECKS, rows, data.slice_of(as_of))], afterwards=lambda: require(findings, as_of=as_of))


def _newest(context: Context, past: Past) -> datetime:
    """Find the newest event of a log that has none in the window."""
    found = newest_event(past.whole["events"])
    if found is None:
        require_past(context.warehouse.read(data.EVENTS), context.as_of)
        raise DataError("the table events changed while it was read; run the job again")
    return found


def past_of(context: Context, window_days: int) -> Past:
    """Read what the checks look at."""
    warehouse, as_of = context.warehouse, context.as_of
    day_before, since = as_of - timedelta(days=1), as_of - timedelta(days=window_days + 1)

    def log(table: data.Table) -> tuple[DataFrame, DataFrame]:
        return (
            warehouse.read(table, before=as_of, since=since, required=False),
            warehouse.read(table, before=as_of, required=False),
        )

    def states(table: data.Table) -> tuple[DataFrame, DataFrame]:
        return (
            warehouse.read(table, valid_at=as_of, required=False),
            warehouse.read(table, valid_at=day_before, required=False),
        )

    (events, all_events), (lists, all_lists) = log(data.EVENTS), log(data.IMPRESSIONS)
    return Past(
        events=events,
        impressions=lists,
        items=states(data.ITEMS),
        users=states(data.USERS),
        quarantine=warehouse.read(data.QUARANTINE, required=False),
        whole={"events": all_events, "impressions": all_lists},
    )


if __name__ == "__main__":
    run.main()
