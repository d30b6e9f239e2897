"""Resolves files and flags into one frozen `Config`; every mistake is one sentence with the file and the key."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from recsys.config.renamed import moved, with_new_names
from recsys.config.root import Config
from recsys.errors import ConfigError
from recsys.ingest.dataset import Dataset
from recsys.retrieval.entries import SENTENCE, by_name

M = TypeVar("M", bound=BaseModel)


def load_config(
    files: Sequence[str | Path] = (), *, dataset: str | Path | None = None, overrides: Iterable[str] = ()
) -> Config:
    """Resolve a config: defaults, then the dataset's settings, then the files in order, then `key=value` overrides.

    Raises
    ------
    ConfigError
        Naming the file (or flag) and the key, what was found and what is allowed.
    """
    merged: dict[str, Any] = {}
    if dataset is not None:
        mapping = load_dataset(dataset)
        settings = f"{dataset}, settings"
        mapping = mapping.model_copy(update={"settings": with_new_names(mapping.settings, where=settings)})
        merged = _added(merged, mapping.settings, where=settings)
        merged["dataset"] = mapping.model_dump()
    for file in files:
        layer = with_new_names(_expanded(read_yaml(file)), where=str(file))
        merged = _added(merged, layer, where=str(file))
    for override in overrides:
        where = f"--set {override.partition('=')[0]}"
        layer = with_new_names(_expanded(_parse_override(override)), where=where)
        merged = _added(merged, layer, where=where)
    return _build(Config, merged, where="the resolved config")


def load_dataset(file: str | Path) -> Dataset:
    """Read a dataset mapping.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML, or does not fit the mapping's form.
    """
    return _build(Dataset, read_yaml(file), where=str(file))


def read_yaml(file: str | Path) -> dict[str, Any]:
    """Read a YAML mapping safely (no tags, no objects)."""
    path = Path(file)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file}: can't be read as text ({error.__class__.__name__}); give a UTF-8 YAML file"
        ) from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise ConfigError(f"{file}, line {line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: expected keys and values at the top, found a {type(loaded).__name__}")
    return loaded


def parse_as_of(text: str) -> datetime:
    """Parse an instant (`2018-09-01`, `2018-09-01T13:30:00Z`) as UTC.

    Raises
    ------
    ConfigError
        If it is neither a date nor an ISO 8601 instant.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"--as-of {text}: not a date or an instant; write 2018-09-01 or 2018-09-01T13:30:00Z"
        ) from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def stamp(as_of: datetime | date) -> str:
    """Format an instant for names of files and versions: `20180901T000000Z`."""
    return as_of.strftime("%Y%m%dT%H%M%SZ")


def version_of(kind: str, as_of: datetime, *parts: BaseModel | Mapping[str, Any] | str) -> str:
    """Name a model version after its kind, its instant and the settings that decide it."""
    return f"{kind}-{stamp(as_of)}-{digest([_plain(part) for part in parts])[:8]}"


def config_json(config: Config) -> str:
    """The resolved config as JSON, without Spark settings that may hold credentials."""
    plain = config.model_dump(mode="json")
    plain["spark"]["conf"] = dict.fromkeys(plain["spark"]["conf"], "***")
    return json.dumps(plain, sort_keys=True)


def _plain(part: BaseModel | Mapping[str, Any] | str) -> Any:
    return part.model_dump(mode="json") if isinstance(part, BaseModel) else part


def digest(value: Any) -> str:
    """SHA-256 of plain values, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _merge(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        elif key == "retrievers" and isinstance(value, Mapping) and isinstance(merged.get(key), list):
            merged[key] = by_name(merged[key], value)
        else:
            merged[key] = value
    return merged


def _parse_override(text: str) -> dict[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, such as rank.batch_size=4096")
    *sections, last = _path(key.strip())
    try:
        # Spark settings are strings.
        parsed = value if sections == ["spark", "conf"] else yaml.safe_load(value) if value else ""
    except yaml.YAMLError:
        raise ConfigError(
            f"--set {key}: the value is not valid YAML; quote it if it holds special characters"
        ) from None
    layer: dict[str, Any] = {last: parsed}
    for section in reversed(sections):
        layer = {section: layer}
    return layer


def _path(key: str) -> list[str]:
    """Split a key at its dots; what follows spark.conf is one key of Spark, dots included."""
    sparks = key.removeprefix("spark.conf.")
    return key.split(".") if sparks == key else ["spark", "conf", sparks]


def _expanded(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Write short forms out: `warehouse: DIR` stands for `warehouse: {path: DIR}`."""
    short = isinstance(layer.get("warehouse"), str)
    return {**layer, "warehouse": {"path": layer["warehouse"]}} if short else dict(layer)


def _added(merged: Mapping[str, Any], layer: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Add a layer and validate the result, so that a mistake is reported with the file that holds it."""
    if "dataset" in layer:
        raise ConfigError(f"{where}: key dataset is not a config key; give the mapping with --dataset FILE")
    try:
        result = _merge(merged, layer)
    except PydanticCustomError as error:  # a retriever that is not there
        raise ConfigError(f"{where}: {error}") from None
    _build(Config, result, where=where)
    return result


def _build(model: type[M], values: Mapping[str, Any], *, where: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_sentence(model, e) for e in error.errors()[:3])) from None


def _sentence(model: type[BaseModel], error: Any) -> str:
    if error["type"] == SENTENCE:
        return str(error["msg"])
    path = [str(part) for part in error["loc"]]
    key = ".".join(path) or "(top level)"
    if error["type"] == "extra_forbidden":
        elsewhere = moved(path, error["input"]) if model is Config else None
        if elsewhere:
            return elsewhere
        known = _keys_at(model, path[:-1])
        close = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
        return f"unknown key {key}; {hint}"
    found = error["input"]
    # Spark settings may be credentials.
    secret = path[:2] == ["spark", "conf"]
    shown = "" if secret or isinstance(found, (dict, list, tuple)) else f" (found {found!r})"
    message = error["msg"].removeprefix("Value error, ")
    return f"key {key}: {message[0].lower()}{message[1:]}{shown}"


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
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
