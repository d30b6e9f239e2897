"""The config's list of retrievers: from entries to settings, and changed by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializeAsAny, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails

from recsys.data import EXAMPLE_FEATURES
from recsys.errors import ConfigError
from recsys.retrieval.base import Retriever
from recsys.retrieval.registry import defaults, get, kinds
from recsys.settings import conflict, mistakes, nearest, retold, whole, with_layer

RESERVED = ("candidates", "ranker", "final", "lists", "candidate", "audience")
"""Names that a retriever can't have: other stages of evaluation, features and saved files are called so."""


def parse(value: Any) -> Retriever:
    """Make a retriever of an entry of the config, `{kind: …, …}`.

    Raises
    ------
    ValueError
        A sentence for an unknown kind or key; pydantic's error for a wrong value.
    """
    if isinstance(value, Retriever):
        return value
    cls = _class_of(value.get("kind") if isinstance(value, Mapping) else None)
    name = _name_of(value)
    for key in value:
        if key not in cls.model_fields:
            hint = nearest(str(key), sorted(cls.model_fields), "known keys:")
            raise whole(f"unknown key retrievers.{name}.{key}; {hint}")
    try:
        return cls.model_validate(dict(value))
    except ValidationError as error:
        lines = [
            InitErrorDetails(type=retold(line), loc=(name, *line["loc"]), input=line["input"])
            for line in mistakes(error)
        ]
        raise ValidationError.from_exception_data("retrievers", lines) from None


def saved_entry(values: Mapping[str, Any]) -> Retriever:
    """Make a retriever of all its settings, as a saved model has them.

    What equals the default was not necessarily set. It is left out, because some settings are refused beside others,
    whatever their value.
    """
    usual = _class_of(values["kind"]).model_validate({}).model_dump(mode="json")
    return parse({key: value for key, value in values.items() if key == "kind" or value != usual.get(key)})


def parse_all(value: Any) -> tuple[Retriever, ...]:
    """Make the retrievers of a config: of a list of entries, or of a mapping by name that changes the default list.

    Raises
    ------
    ValueError
        A sentence, if an entry is wrong or two have one name.
    """
    entries = by_name(defaults(), value) if isinstance(value, Mapping) else value
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise whole("retrievers is a list of entries, or a mapping of names to entries")
    return checked([parse(entry) for entry in entries])


def checked(retrievers: Sequence[Retriever]) -> tuple[Retriever, ...]:
    """Return retrievers whose names can stand side by side.

    Raises
    ------
    ValueError
        If there is none, or a name is reserved or occurs twice.
    """
    if not retrievers:
        raise whole(f"retrievers is empty; give at least one, of the kinds {', '.join(kinds())}")
    seen: set[str] = set()
    for name in (retriever.name for retriever in retrievers):
        if name in RESERVED:
            raise whole(f"retrievers.{name}: the name is reserved; give another name")
        if name.lower() in seen:
            raise whole(f"two retrievers are called {name}; give one of them another name")
        seen.add(name.lower())
    _unlike_features(retrievers)
    if not any(retriever.weight for retriever in retrievers):
        raise conflict("every entry of retrievers has the weight 0, which leaves their proposals without an order")
    return tuple(retrievers)


def _unlike_features(retrievers: Sequence[Retriever]) -> None:
    """Refuse a name that would give two features of an example one column."""
    taken = {column.name: "every example" for column in EXAMPLE_FEATURES}
    for retriever in retrievers:
        mine = f"retrievers.{retriever.name}"
        for column in (feature.column.name.lower() for feature in retriever.offered):
            if column in taken:
                raise whole(f"{mine}: its feature {column} is one of {taken[column]} already; give it another name")
            taken[column] = mine


def by_name(entries: Sequence[Any], layer: Mapping[Any, Any]) -> list[Any]:
    """Change a list of entries by a mapping of names: keys are set, null removes an entry, a new one needs a kind."""
    found = {_name_of(entry): entry for entry in entries}
    for name, change in layer.items():
        if change is None:
            if found.pop(name, None) is None:
                raise whole(f"retrievers.{name}: there is no such entry; {nearest(str(name), list(found), 'entries:')}")
        elif not isinstance(change, Mapping):
            raise whole(f"retrievers.{name} is a mapping of keys, or null to remove the entry")
        elif name in found and change.get("kind", _kind_of(found[name])) == _kind_of(found[name]):
            found[name] = _changed(_plain(found[name]), change)
        else:
            kind = change.get("kind") or _new_kind(name, found)
            found[name] = _changed({"name": name, "kind": kind}, change)
    return list(found.values())


def _changed(entry: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    return with_layer(_class_of(entry["kind"]), entry, change, name=f"retrievers.{_name_of(entry)}")


def _new_kind(name: str, found: Mapping[str, Any]) -> str:
    """The kind of a new entry that names none: its own name, where that is one and no other entry is of it."""
    same = [other for other, entry in found.items() if _kind_of(entry) == name]
    if same:
        raise whole(
            f"retrievers.{name}: the entry of this kind is called {same[0]}; change retrievers.{same[0]}, or give a "
            f"second one a name of its own and kind: {name}"
        )
    if name not in kinds():
        hint = nearest(str(name), list(found), "entries:")
        raise whole(f"retrievers.{name}: there is no such entry, and a new one needs a kind; {hint}")
    return name


def _class_of(kind: Any) -> type[Retriever]:
    if not isinstance(kind, str):
        raise whole(f"an entry of retrievers needs a kind: {{kind: …, …}}; known kinds: {', '.join(kinds())}")
    try:
        return get(kind)
    except ConfigError as error:
        raise whole(str(error)) from None


def _plain(entry: Any) -> dict[str, Any]:
    """An entry as a mapping, of what was set alone."""
    if isinstance(entry, Retriever):
        return entry.model_dump(mode="json", exclude_unset=True) | {"kind": entry.kind}
    return dict(entry)


def _kind_of(entry: Any) -> Any:
    return entry.kind if isinstance(entry, Retriever) else entry.get("kind")


def _name_of(entry: Any) -> str:
    if isinstance(entry, Retriever):
        return entry.name
    kind = _kind_of(entry)
    return str(entry.get("name") or (get(kind).model_fields["name"].default if kind in kinds() else kind))


class _Entries:
    """How layers of the list are merged, and its JSON schema: entries of any kind, or a mapping of names to changes."""

    @staticmethod
    def layered(below: Any, layer: Any) -> Any:
        """Change the list by a mapping of names; another list replaces it."""
        if not isinstance(layer, Mapping):
            return layer
        return by_name(below if isinstance(below, Sequence) else defaults(), layer)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        entries = [get(kind).model_json_schema() for kind in kinds()]
        return {"anyOf": [{"type": "array", "items": {"anyOf": entries}}, {"type": "object"}]}


Retrievers = Annotated[tuple[SerializeAsAny[Retriever], ...], BeforeValidator(parse_all), _Entries()]
"""The type of the config's `retrievers`."""
