"""Masks what may be a secret, wherever values are printed or stored. Standard library only: every module may use it.

What counts as one: the value of a key that is called so (`fs.s3a.secret.key`, `db.password`, `*.token`,
`fs.azure.account.key.ACCOUNT…`, `*credential*`), in a mapping and in a text (`password=…`); and in a URI the user and
password before the host, and the signature of a signed link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "***"

_NAME: Final = (
    r"secret|passwo?r?d|passwd|passphrase|\bpwd\b|credential|token(?!ize|s\b)|signature|\bsig\b|authorization"
    r"|(?:account|access|api|private|encryption|shared|client|storage|master|sas)[._-]?key|shared-?access"
    r"|\bsas\b"
)
_SECRET_KEY: Final = re.compile(_NAME, re.IGNORECASE)
_IN_TEXT: Final = re.compile(
    # "key a.password: …" is a sentence about the key, and holds no value.
    rf"(?<![\w.-])(?<!key )(?P<name>[\w.-]*(?:{_NAME})[\w.-]*)"
    r"(?P<sign>[\"']?\s?(?:=>|=|:(?!:))\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|(?:Bearer |Basic )?[^\s\"',;&)}\]]+)",
    re.IGNORECASE,
)
_USER_INFO: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^\s/\"<>]*)@")
_USER_INFO_WITH_SLASHES: Final = re.compile(
    # A port and a path are no password: hdfs://name:8020/a@b.
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^\s/:@\"<>]+:(?!\d{1,5}(?:/|\b(?=[\s\"',?]|$)))[^\s\"<>]*)@"
)
_CONTAINERS: Final = frozenset(["abfs", "abfss", "wasb", "wasbs"])
"""Schemes that name a container before the host, as in `abfss://container@account.dfs.core.windows.net`."""


def names_secret(key: str) -> bool:
    """Tell whether the value of a key is to be masked, by the key's name.

    Examples
    --------
    >>> names_secret("spark.hadoop.fs.s3a.secret.key"), names_secret("spark.sql.shuffle.partitions")
    (True, False)
    """
    return _SECRET_KEY.search(key) is not None


def masked_text(text: str) -> str:
    """Mask user names and passwords of URIs, and the values of keys that look like secrets, in a text.

    Examples
    --------
    >>> masked_text("s3a://KEY:SECRET@bucket/raw and jdbc:db://h/x?password=p1&ssl=true")
    's3a://***@bucket/raw and jdbc:db://h/x?password=***&ssl=true'
    """
    if "@" in text and "://" in text:
        text = _USER_INFO_WITH_SLASHES.sub(_without_user, _USER_INFO.sub(_without_user, text))
    return _IN_TEXT.sub(_without_value, text) if _SECRET_KEY.search(text) else text


def masked(value: Any) -> Any:
    """Mask plain values (mappings, lists, texts), by their keys and by what the texts hold.

    Everything below a key that looks like a secret is masked; so are all Spark settings, since any of them may be one.

    Examples
    --------
    >>> masked({"spark": {"conf": {"spark.x": "y"}}, "input": {"root": "s3a://a:b@c"}})
    {'spark': {'conf': {'spark.x': '***'}}, 'input': {'root': 's3a://***@c'}}
    """
    return _masked(value, hidden=False, path=())


def _masked(value: Any, *, hidden: bool, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _masked(
                inner,
                hidden=hidden or path == ("spark", "conf") or names_secret(str(key)),
                path=(*path, str(key)),
            )
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked(inner, hidden=hidden, path=(*path, "")) for inner in value]
    if hidden and value not in (None, "") and not isinstance(value, bool):
        return MASK
    return masked_text(value) if isinstance(value, str) else value


def _without_user(found: re.Match[str]) -> str:
    user = found["user"]
    if user == MASK or (found["scheme"].lower() in _CONTAINERS and ":" not in user):
        return found.group()
    return f"{found['scheme']}://{MASK}@"


def _without_value(found: re.Match[str]) -> str:
    value = found["value"]
    shown = f"{value[0]}{MASK}{value[-1]}" if value[0] in "\"'" else MASK
    return f"{found['name']}{found['sign']}{shown}"
