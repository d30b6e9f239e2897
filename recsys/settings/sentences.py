"""What is wrong with settings, in one sentence: pydantic's errors as a user reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, Final, LiteralString, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from recsys.settings.names import closest, nearest

SENTENCE: Final[LiteralString] = "sentence"
"""Type of errors whose message is a whole sentence, the key included."""
CONFLICT: Final[LiteralString] = "conflict"
"""Type of errors of values that are possible one by one, and not together. The message is a whole sentence."""
_COMPLETE: Final[LiteralString] = "complete"
"""Type of errors whose message says what was found."""
_OUR_WORDS: Final = {
    "dict_type": "input should be a mapping of entries",
    "model_type": "input should be a mapping of keys",
    "too_short": "a list of at least {min_length} is needed",
    "tuple_type": "input should be a list",
}
"""Messages by the type of pydantic's error, where its own speak of Python."""


def whole(text: str) -> PydanticCustomError:
    """Return an error whose message is a whole sentence."""
    return _error(SENTENCE, text)


def conflict(text: str) -> PydanticCustomError:
    """Return the error of values that can't be together; a later layer of the config may still change one of them."""
    return _error(CONFLICT, text)


def problem(text: str) -> PydanticCustomError:
    """Return the error of one value, whose message says what was found; the key is put before it."""
    return _error(_COMPLETE, text)


def retold(detail: Any) -> PydanticCustomError:
    """Return the error of a value again, for the place that the value has within something larger."""
    kind = detail["type"]
    return _error(kind if kind in (SENTENCE, CONFLICT, _COMPLETE) else "retold", message(detail))


def mistakes(error: ValidationError) -> list[Any]:
    """Entries of `ValidationError.errors()`, less those that follow from others: a list is short of wrong values."""
    found: list[Any] = error.errors(include_url=False)
    places = [tuple(detail["loc"]) for detail in found]

    def follows(detail: Any) -> bool:
        place = tuple(detail["loc"])
        return detail["type"] == "too_short" and any(len(p) > len(place) and p[: len(place)] == place for p in places)

    return [detail for detail in found if not follows(detail)]


def message(detail: Any) -> str:
    """What is wrong with one value.

    Parameters
    ----------
    detail : mapping
        An entry of `ValidationError.errors()`.
    """
    text, found, context = str(detail["msg"]).removeprefix("Value error, "), detail["input"], detail.get("ctx", {})
    if detail["type"] in _OUR_WORDS:
        return _OUR_WORDS[detail["type"]].format(**context)
    if detail["type"] == "literal_error" and isinstance(found, str):
        close = closest(found, re.findall(r"'([^']*)'", context["expected"]))
        text += f"; did you mean {close}?" if close else ""
    return text


def sentence(model: type[BaseModel], detail: Any, *, secret: bool = False) -> str:
    """Tell one mistake in a config: the key, what is wrong, what was found.

    Parameters
    ----------
    model : type
        What the values were validated as.
    detail : mapping
        An entry of `ValidationError.errors()`.
    secret : bool
        Whether the value must not be shown.
    """
    if detail["type"] in (SENTENCE, CONFLICT):
        return str(detail["msg"])
    path = _path(detail["loc"])
    key = ".".join(path) or "(top level)"
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}; {nearest(path[-1], _keys_at(model, path[:-1]), 'known keys:')}"
    return f"key {key}: {_told(detail, secret=secret)}"


def refusal(name: str, model: type, error: ValidationError) -> str:
    """Tell the first mistake in the keyword arguments of a class.

    Parameters
    ----------
    name : str
        What the class is called.
    model : type
        The class.
    """
    detail = mistakes(error)[0]
    if detail["type"] in (SENTENCE, CONFLICT):
        return str(detail["msg"])
    path = _path(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{name} has no setting {'.'.join(path)}; {nearest(path[-1], _keys_at(model, path[:-1]), 'it has')}"
    return ": ".join([name, *([".".join(path)] if path else []), _told(detail)])


def _told(detail: Any, *, secret: bool = False) -> str:
    text, found = message(detail), detail["input"]
    hidden = secret or detail["type"] == _COMPLETE or isinstance(found, (dict, list, tuple, BaseModel))
    return f"{text[0].lower()}{text[1:]}{'' if hidden else f' (found {found!r})'}"


def _path(loc: Sequence[int | str]) -> list[str]:
    """The key of a value; pydantic marks an error about the name of an entry, which has no key of its own."""
    return [str(part) for part in (loc[:-2] if loc and loc[-1] == "[key]" else loc)]


def _keys_at(model: type, path: Sequence[str]) -> list[str]:
    here: Any = model
    for part in path:
        fields = getattr(here, "model_fields", {})
        if part in fields:
            here = _model_in(fields[part].annotation)
    return sorted(getattr(here, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """Find the model in an annotation: itself, or inside Optional, tuple, dict or Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple, list, dict) or get_args(annotation):
        for inner in get_args(annotation):
            found = _model_in(inner)
            if found is not None:
                return found
    return None


def _error(kind: LiteralString, text: str) -> PydanticCustomError:
    # Braces in the text itself would be taken for placeholders.
    return PydanticCustomError(kind, "{text}", {"text": text})
