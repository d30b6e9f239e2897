"""Finds what a glob stands for, names with colons included, over which Hadoop's own search stumbles."""

from __future__ import annotations

import re
from typing import Any, Final

_TOKEN: Final = re.compile(
    r"\\(?P<plain>.)|(?P<any>\*)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<set>[^\]]*)\]"
    r"|(?P<open>\{)|(?P<close>\})|(?P<or>,)|(?P<other>.)",
    re.DOTALL,
)
_MAGIC: Final = re.compile(r"(?<!\\)[*?\[{]")


def matching(jvm: Any, files: Any, glob: str) -> list[Any]:
    """Return the status of every file and directory that a glob of Hadoop's kind matches.

    Parameters
    ----------
    jvm : py4j view
        Where Hadoop's classes are.
    files : Hadoop file system
        The one that the glob's path lies in.
    glob : str
        An absolute path; `*` and `?`, `[…]` and `{…,…}` are patterns, a backslash takes a character as it is.
    """
    try:
        return list(files.globStatus(jvm.org.apache.hadoop.fs.Path(glob)) or [])
    except Exception as error:
        # Hadoop puts paths together of a directory and a name, and takes what is before a colon for a scheme.
        if "URISyntaxException" not in str(error):
            raise
        return [found for one in expanded(glob) for found in _walked(jvm, files, one)]


def expanded(glob: str) -> list[str]:
    """Write out braces that hold slashes; others are patterns of a name.

    Examples
    --------
    >>> expanded("a/{b,c/d}/{1,2}.csv")
    ['a/b/{1,2}.csv', 'a/c/d/{1,2}.csv']
    """
    for group in re.finditer(r"\{([^{}]*)\}", glob):
        if "/" in group.group(1):
            before, after = glob[: group.start()], glob[group.end() :]
            return [whole for one in group.group(1).split(",") for whole in expanded(before + one + after)]
    return [glob]


def name_pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a glob of one name.

    Examples
    --------
    >>> bool(name_pattern("2024-*T[0-1]?:*.{csv,tsv}").fullmatch("2024-05-01T10:00.csv"))
    True
    """
    parts, depth = [], 0
    for token in _TOKEN.finditer(glob):
        kind, text = token.lastgroup, token.group()
        if kind in ("set", "not"):
            inside = re.sub(r"([\\\[&|~])", r"\\\1", token.group("set"))
            parts.append(f"[{'^' if token.group('not') else ''}{inside}]")
        elif kind == "open":
            depth += 1
            parts.append("(?:")
        elif kind == "close" and depth:
            depth -= 1
            parts.append(")")
        elif kind == "or" and depth:
            parts.append("|")
        else:
            parts.append({"any": ".*", "one": "."}.get(kind or "", re.escape(token.group("plain") or text)))
    return re.compile("".join(parts), re.DOTALL)


def _walked(jvm: Any, files: Any, glob: str) -> list[Any]:
    """Follow a glob from directory to directory, with names put together as texts."""
    names = glob.split("/")
    first = next((at for at, name in enumerate(names) if _MAGIC.search(name)), len(names))
    path: Any = jvm.org.apache.hadoop.fs.Path
    start = path(re.sub(r"\\(.)", r"\1", "/".join(names[:first])) or "/")
    found = [files.getFileStatus(start)] if files.exists(start) else []
    for name in names[first:]:
        if not name:
            continue
        pattern = name_pattern(name)
        within = [child for one in found if one.isDirectory() for child in files.listStatus(one.getPath())]
        found = [child for child in within if pattern.fullmatch(child.getPath().getName())]
    return found
