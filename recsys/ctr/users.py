"""An embedding of the user as an input: with a long log it knows what features don't, with a short one it does harm.

So it has an L2 of its own, users with few examples share one, and `train_ctr.user_embedding: auto` trains with and
without it and keeps what is better on the validation split.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys.ctr.inputs.settings import InputSpec
from recsys.ctr.settings import TrainCtrSettings

USER = "user"
"""Name of the input."""
USER_WIDTH = 8


def with_user(
    inputs: Sequence[InputSpec], settings: TrainCtrSettings, *, source: str = "user_id"
) -> tuple[InputSpec, ...]:
    """Add the user to the inputs, unless the settings say `off` or there is an input that is made from it.

    Parameters
    ----------
    source : str
        Column of the user id.
    """
    taken = any(item.name == USER or item.source == source for item in inputs)
    if settings.user_embedding == "off" or taken:
        return tuple(inputs)
    user = InputSpec(
        name=USER,
        source=source,
        kind="categorical",
        transform="vocabulary",
        width=USER_WIDTH,
        min_count=settings.user_min_count,
        l2=settings.user_l2,
    )
    return (*inputs, user)
