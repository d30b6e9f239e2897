"""The settings of a network and of its training as keyword arguments of one call."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from recsys.ctr.networks.base import Architecture
from recsys.ctr.settings import TrainCtrSettings
from recsys.errors import ConfigError
from recsys.settings import nearest, refusal

_NOT_OURS = {"network", "heads", "ndcg_at", "tensorboard", "user_embedding", "user_l2", "user_min_count"}
"""Keys of `train_ctr` that the library has no use for."""


def fields_of(network: type[Architecture]) -> dict[str, FieldInfo]:
    """Return the settings of a network and of its training, by name."""
    own = {key: field for key, field in network.model_fields.items() if key != "kind"}
    return own | {key: field for key, field in TrainCtrSettings.model_fields.items() if key not in _NOT_OURS}


def settings_from(
    network: type[Architecture], kind: str, values: dict[str, Any], *, of_fit: Collection[str] = ()
) -> TrainCtrSettings:
    """Make the settings of a training from keyword arguments.

    Parameters
    ----------
    of_fit : collection of str
        Names that belong to `fit`, for the message about one that is misplaced.

    Raises
    ------
    ConfigError
        If one is unknown or impossible.
    """
    name, known = network.__name__, fields_of(network)
    for key in values:
        if key not in known:
            of = f"it is an argument of fit: {name}(…).fit(…, {key}=…)" if key in of_fit else None
            raise ConfigError(f"{name} has no setting {key}; {of or nearest(key, known, 'it has')}")
    own = {key: value for key, value in values.items() if key in network.model_fields}
    shared = {key: value for key, value in values.items() if key not in own}
    try:
        return TrainCtrSettings.model_validate({**shared, "network": {**own, "kind": kind}})
    except ValidationError as error:
        # The keywords of the network stand beside those of its training.
        raise ConfigError(refusal(name, TrainCtrSettings, error).replace(": network.", ": ", 1)) from None


def signature(network: type[Architecture], **more: Any) -> inspect.Signature:
    """Return the signature of a call with all settings as keyword arguments; `more` are further ones with defaults."""
    defaults = {key: field.get_default(call_default_factory=True) for key, field in fields_of(network).items()}
    return inspect.Signature(
        [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value)
            for key, value in {**defaults, **more}.items()
        ]
    )


def documentation(network: type[Architecture], **more: str) -> str:
    """Return a docstring: the network's own, with a section on the parameters."""
    described = {key: field.description or "" for key, field in fields_of(network).items()} | more
    summary, _, rest = inspect.cleandoc(network.__doc__ or network.__name__).partition("\n")
    parameters = "\n".join(f"{key}\n    {text}" for key, text in described.items())
    return f"{summary}\n\nParameters\n----------\n{parameters}\n{rest}"
