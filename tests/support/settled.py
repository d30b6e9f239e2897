"""Fitted models whose frames are computed, for tests that ask one model many times.

What a fit returns is a plan back to the events, which each question would compute again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from recsys.data.log import Log
from recsys.retrieval.audience import Audience
from recsys.retrieval.base import Model
from recsys.retrieval.hybrid import HybridModel

M = TypeVar("M", bound=Model[Any])


def settled(model: M, audience: Audience | None = None) -> M:
    """Compute all that a model has learned and its audience, which may be given."""
    asked = settled_audience(model.known_audience()) if audience is None else audience
    return replace(
        model, frames={name: frame.localCheckpoint() for name, frame in model.frames.items()}, audience=asked
    )


def settled_hybrid(model: HybridModel) -> HybridModel:
    """Compute what each of its models has learned, and the audience that they share."""
    audience = settled_audience(model.audience)
    return replace(model, models=[settled(one, audience) for one in model.models], audience=audience)


def settled_audience(audience: Audience) -> Audience:
    """Compute an audience's users, their past and the index of items."""
    return replace(
        audience,
        people=audience.people.localCheckpoint(),
        histories=audience.histories.localCheckpoint(),
        item_index=audience.item_index.localCheckpoint(),
    )


def settled_log(log: Log) -> Log:
    """Compute a log's events and indexes."""
    indexed = log.indexed()
    assert indexed.user_index is not None and indexed.item_index is not None
    return replace(
        indexed,
        events=log.events.localCheckpoint(),
        user_index=indexed.user_index.localCheckpoint(),
        item_index=indexed.item_index.localCheckpoint(),
    )
