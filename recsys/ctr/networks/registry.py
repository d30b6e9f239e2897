"""The networks by name: one line each. A network's file is imported when its name is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from recsys.ctr.networks.base import Architecture
from recsys.errors import ConfigError
from recsys.settings import mistakes, nearest, problem, retold, with_layer

NETWORKS: dict[str, str] = {
    "deepfm": "recsys.ctr.networks.deepfm.DeepFM",
    "wide_deep": "recsys.ctr.networks.wide_deep.WideDeep",
    "fm": "recsys.ctr.networks.fm.FM",
}
DEFAULT = "deepfm"
FACTORIZATION = "fm"
"""The network of `click_factors`."""


def register(kind: str, name: str) -> None:
    """Make another network known in this process.

    Parameters
    ----------
    kind : str
        Its name in the config: `train_ctr.network.kind`.
    name : str
        Dotted name of its :class:`Architecture`; executors must be able to import it.
    """
    NETWORKS[kind] = name


def architecture(kind: str) -> type[Architecture]:
    """Return the class of a network.

    Raises
    ------
    ConfigError
        If no network has this name.
    """
    if not isinstance(kind, str) or kind not in NETWORKS:
        raise ConfigError(f"there is no network {kind!r}; {nearest(str(kind), NETWORKS, 'known are')}")
    module, _, name = NETWORKS[kind].rpartition(".")
    found: type[Architecture] = getattr(importlib.import_module(module), name)
    return found


def network_of(value: Any) -> Architecture:
    """Return a network from its settings, `{kind: deepfm, hidden: [64]}`; without a kind, the default network."""
    if isinstance(value, Architecture):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a network is written as its kind and settings, such as {kind: deepfm, hidden: [64]}")
    kind = value.get("kind", DEFAULT)
    try:
        chosen = architecture(kind)
    except ConfigError as error:
        unknown = InitErrorDetails(type=problem(str(error)), loc=("kind",), input=kind)
        raise ValidationError.from_exception_data("network", [unknown]) from None
    try:
        return chosen.model_validate(dict(value))
    except ValidationError as error:
        problems = [_problem(detail, kind, chosen) for detail in mistakes(error)]
        raise ValidationError.from_exception_data(kind, problems) from None


def _problem(detail: Any, kind: str, chosen: type[Architecture]) -> InitErrorDetails:
    """Name the setting that was probably meant, where there is none of this name."""
    loc, told = detail["loc"], retold(detail)
    if detail["type"] == "extra_forbidden":
        hint = nearest(str(loc[-1]), chosen.model_fields, "it has")
        told = problem(f"the network {kind} has no such setting; {hint}")
    return InitErrorDetails(type=told, loc=loc, input=detail["input"])


class _Chosen:
    """Tells pydantic to validate, write and describe a network by its kind, whatever is registered."""

    @staticmethod
    def layered(below: Any, layer: Any) -> Any:
        """Merge the settings of a network; another kind keeps those that it is not given anew."""
        if not isinstance(layer, Mapping):
            return layer
        values = below if isinstance(below, Mapping) else {}
        kind = layer.get("kind", values.get("kind", DEFAULT))
        known = isinstance(kind, str) and kind in NETWORKS  # another one is refused when it is validated
        return with_layer(architecture(kind if known else DEFAULT), values, layer, name="train_ctr.network")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            network_of, serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        choices = [architecture(kind).__pydantic_core_schema__ for kind in NETWORKS]
        return handler(core_schema.union_schema(list(choices)))


def _dump(network: Architecture, info: SerializationInfo) -> dict[str, Any]:
    return network.model_dump(mode=info.mode)


AnyNetwork = Annotated[Architecture, _Chosen()]
"""Type of a settings field that holds any registered network."""
