"""Where the files of a mapping may lie: below `input.root`, or where `input.trusted_paths` says.

A mapping comes from whoever sends the data. Its paths are looked at twice: as they are written, every alternative of a
glob by itself, before anything is listed; and where they lead, if they are local, after links are followed.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

from recsys.errors import ConfigError

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?=/)")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_CLASS: Final = re.compile(r"\[[!^]?([^\]]*)\]")
_PATTERN: Final = re.compile(r"[\\{}\[\]*?]")
_MOST_ALTERNATIVES: Final = 1000


def resolved(source: str, path: str, *, root: str | None, trusted: Sequence[str] = ()) -> str:
    """Return the path of a source in full, as a glob in which the root stands for itself.

    Parameters
    ----------
    source : str
        Name of the source, for errors.
    path : str
        File, directory or glob, as the mapping says.
    root : str, optional
        Where relative paths begin (`input.root`).
    trusted : sequence of str
        Places outside of the root that are allowed too (`input.trusted_paths`).

    Raises
    ------
    ConfigError
        If the path leads elsewhere, or is relative and there is no root.
    """
    alternatives = _alternatives(source, path)
    absolute = _is_absolute(path)
    if not absolute and root is None:
        raise ConfigError(
            f"source {source}: path {path} is relative to input.root, which is not set; give --set input.root=DIR"
        )
    full = path if absolute else f"{as_named((root or '').rstrip('/'))}/{path}"
    for one in alternatives:
        if not absolute and not _is_absolute(one) and ".." not in _parts(one):
            continue
        target = one if absolute else f"{(root or '').rstrip('/')}/{one}"
        if not _covered(target, trusted):
            raise _outside(source, path)
    return full


def as_named(path: str) -> str:
    r"""Return the glob that matches a path alone.

    Examples
    --------
    >>> print(as_named("/raw [2024]"))
    /raw \[2024\]
    """
    return _PATTERN.sub(r"\\\g<0>", path)


def shown(glob: str) -> str:
    r"""Return a glob without escapes, as it is shown, and as the name that it may be.

    Examples
    --------
    >>> shown(r"/raw \[2024\]/a[1].csv")
    '/raw [2024]/a[1].csv'
    """
    return re.sub(r"\\(.)", r"\1", glob)


def require_inside(
    source: str, path: str, files: Iterable[str], *, root: str | None, trusted: Sequence[str] = ()
) -> None:
    """Check that local files lie where they may once links are followed, and those of tables where they say.

    Parameters
    ----------
    path : str
        The path as the mapping says, for errors.
    files : iterable of str
        Whole paths of the files that were found there.

    Raises
    ------
    ConfigError
        Naming the source and the first file that lies elsewhere.
    """
    allowed = [place for place in (*([root] if root is not None else []), *trusted) if local_path(place) is not None]
    real = [os.path.realpath(local_path(place) or "") for place in allowed]
    for file in files:
        local = local_path(file)
        if local is None:
            continue
        found = os.path.realpath(local)
        if not any(_below(found, place) for place in real):
            raise _outside(source, path, f" leads to {found}, which")


def require_covered(source: str, path: str, files: Iterable[str], *, table: str, trusted: Sequence[str] = ()) -> None:
    """Check that the files that a Delta table lists lie in the table itself: its log may name any file there is.

    Raises
    ------
    ConfigError
        Naming the source and the first file that lies elsewhere.
    """
    for file in files:
        if not any(_covered(written, (table, *trusted)) for written in (file, unquote(file))):
            raise _outside(source, path, f" lists {file}, which")


def _outside(source: str, path: str, found: str = "") -> ConfigError:
    return ConfigError(
        f"source {source}: path {path}{found} is outside of input.root; put the files below it, or, if you trust the "
        "mapping, name their place in input.trusted_paths of a --config file"
    )


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or _SCHEME.match(path) is not None


def _alternatives(source: str, path: str) -> list[str]:
    """Every path that the braces of a glob stand for."""
    if "\\" in path:
        raise ConfigError(f"source {source}: path {path} holds a backslash; write a path with / and without escapes")
    found, open_ones = [], [path]
    while open_ones:
        one = open_ones.pop()
        group = _BRACES.search(one)
        if group is None:
            found.append(one)
        else:
            choices = group.group(1).split(",")
            open_ones += [one[: group.start()] + choice + one[group.end() :] for choice in choices]
        if len(found) + len(open_ones) > _MOST_ALTERNATIVES:
            raise ConfigError(f"source {source}: path {path} has more than {_MOST_ALTERNATIVES} alternatives")
    if any(brace in one for one in found for brace in "{}"):
        raise ConfigError(f"source {source}: path {path} has a brace without its partner; close it or leave it out")
    return found


def _parts(path: str) -> list[str]:
    """The steps of a path; one up is `..`, however it is written."""
    return [".." if unquote(_CLASS.sub(r"\1", part)).strip() == ".." else part for part in path.split("/")]


def _covered(path: str, places: Sequence[str]) -> bool:
    return any(_below(_normal(path), _normal(place)) for place in places)


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def _normal(path: str) -> str:
    """A path without detours; `file:/a` and `file:///a` are the same, `/a` is one on the default file system."""
    scheme = _SCHEME.match(path)
    head, rest = (scheme.group().lower(), path[scheme.end() :]) if scheme else ("", path)
    if head and rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
        head, rest = f"{head}//{host}" if host else head, f"/{rest}"
    steps = "/".join(_parts(rest))
    return head + posixpath.normpath(re.sub("^/+", "/", steps) or "/")


def local_path(path: str) -> str | None:
    """Return the path of a local file as the system knows it; None for one elsewhere."""
    if path.lower().startswith("file:"):
        return "/" + path[len("file:") :].lstrip("/")
    return None if _SCHEME.match(path) else path
