"""Layers of settings: a later one wins key by key, and changes a map entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Protocol, Union, get_args, get_origin, runtime_checkable

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from recsys.settings.names import nearest
from recsys.settings.sentences import whole


@runtime_checkable
class Layered(Protocol):
    """Annotates a field that merges layers in its own way."""

    def layered(self, below: Any, layer: Any) -> Any:
        """Return what a layer makes of the values below it; None if there are none."""
        ...


def with_layer(
    model: type[BaseModel], below: Mapping[str, Any], layer: Mapping[str, Any], *, name: str = ""
) -> dict[str, Any]:
    """Add a layer to the values of a class of settings.

    Sections and maps are merged: a key that the layer does not name stays as it is, a map starts from its default, and
    null removes an entry of a map. Anything else, lists included, is replaced. Nothing is validated.

    Parameters
    ----------
    below : mapping
        What earlier layers set.
    name : str
        Dotted name of the section, for messages.

    Raises
    ------
    PydanticCustomError
        If null is given for an entry that a map neither has nor had by default.
    """
    merged = dict(below)
    for key, value in layer.items():
        field = model.model_fields.get(key)
        merged[key] = value if field is None else _value(field, merged.get(key), value, f"{name}.{key}".lstrip("."))
    return merged


def _value(field: FieldInfo, below: Any, layer: Any, name: str) -> Any:
    for mark in field.metadata:
        if isinstance(mark, Layered):
            return mark.layered(below, layer)
    if not isinstance(layer, Mapping):
        return layer
    section = _section(field.annotation)
    if section is not None:
        return with_layer(section, below if isinstance(below, Mapping) else {}, layer, name=name)
    if not _is_map(field.annotation):
        return layer
    default = {} if field.is_required() else field.get_default(call_default_factory=True) or {}
    return _entries(below if isinstance(below, Mapping) else default, layer, default=default, name=name)


def _entries(
    below: Mapping[str, Any], layer: Mapping[str, Any], *, default: Mapping[str, Any], name: str
) -> dict[str, Any]:
    merged = dict(below)
    for key, value in layer.items():
        if value is None:
            if key not in merged and key not in default:
                raise whole(f"{name}.{key}: there is no such entry to remove; {nearest(str(key), merged, 'it has')}")
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _entries(merged[key], value, default={}, name=f"{name}.{key}")
        else:
            merged[key] = value
    return merged


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _section(annotation: Any) -> type[BaseModel] | None:
    found = [kind for kind in _alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return found[0] if len(found) == 1 else None


def _is_map(annotation: Any) -> bool:
    return any(get_origin(kind) in (dict, Mapping) or kind is dict for kind in _alternatives(annotation))
