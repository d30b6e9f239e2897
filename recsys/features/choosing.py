"""Which examples there are to learn from: labeled, sampled and split pairs of both origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame

from recsys.errors import NothingToDo
from recsys.features import sampling
from recsys.features.examples import CANDIDATES, LISTS, Counts, Labeled, count_labels
from recsys.features.settings import CtrExamplesSettings
from recsys.progress import note


@dataclass(frozen=True)
class Chosen:
    """The examples before they have features.

    Attributes
    ----------
    pairs : DataFrame
        Pairs with `origin`, labels, `split` and `sample_rate`.
    lists : DataFrame
        The whole lists that they are in.
    """

    pairs: DataFrame
    lists: DataFrame


def choose(labeled: Sequence[Labeled], *, settings: CtrExamplesSettings, rungs: Sequence[datetime]) -> Chosen:
    """Count, split and sample labeled pairs; an origin without both labels is left out, with a note.

    Counts labels (a row per instant reaches the driver), so this is a decision and not a lazy transform.

    Parameters
    ----------
    labeled : sequence of Labeled
        One for each origin.
    rungs : sequence of datetime
        The instants whose candidates were looked for.

    Raises
    ------
    NothingToDo
        If no origin can be learned from.
    """
    counts = count_labels(_united([one.pairs for one in labeled]))
    found = {CANDIDATES: [one for one in counts if one.instant], LISTS: [one for one in counts if not one.instant]}
    wanted = set(settings.origins)
    kept = [one for one in labeled if one.origin in wanted and _learnable(found[one.origin])]
    for origin in settings.origins:
        note(_described(origin, found[origin], rungs=rungs))
    if not kept:
        raise NothingToDo(
            "there is nothing to learn a ranker from: "
            + "; ".join(_described(origin, found[origin], rungs=rungs) for origin in settings.origins)
        )
    asked = {CANDIDATES: settings.candidate_negatives_per_positive, LISTS: settings.negatives_per_positive}
    rates = {one.origin: sampling.sample_rate(found[one.origin], asked[one.origin]) for one in kept}
    split = _united([_split(one, found[one.origin], settings) for one in kept])
    return Chosen(sampling.sampled(split, rates=rates), _united([one.lists for one in kept]))


def _split(one: Labeled, counts: Sequence[Counts], settings: CtrExamplesSettings) -> DataFrame:
    if one.origin == LISTS:
        return sampling.split_lists(one.pairs, holdout_share=settings.holdout_share)
    newest = counts[0].instant
    assert newest is not None  # candidates have one
    share = sampling.held_out_share(counts, holdout_users=settings.holdout_users)
    return sampling.split_candidates(one.pairs, newest=newest, share=share)


def _learnable(counts: Sequence[Counts]) -> bool:
    return sum(one.positives for one in counts) > 0 and sum(one.negatives for one in counts) > 0


def _described(origin: str, counts: Sequence[Counts], *, rungs: Sequence[datetime]) -> str:
    positives, rows = sum(c.positives for c in counts), sum(c.positives + c.negatives for c in counts)
    if origin == LISTS:
        return f"of {rows:,} shown items {positives:,} were clicked" if rows else "no lists were shown"
    asked = ", ".join(f"{rung:%Y-%m-%dT%H:%M:%SZ}" for rung in rungs)
    if not rows:
        return (
            f"no candidates of the instants {asked}, or nobody was there in the horizon after them; "
            "jobs/pipeline.py --to candidates makes the candidates of every instant that the log reaches back to"
        )
    made = {count.instant for count in counts}
    missing = ", ".join(f"{rung:%Y-%m-%dT%H:%M:%SZ}" for rung in rungs if rung not in made)
    return f"of {rows:,} candidates of {len(counts)} instants {positives:,} were taken up" + (
        f"; there are none of {missing}" if missing else ""
    )


def _united(frames: Sequence[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)
