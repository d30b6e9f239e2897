"""Encodings that a source may have: those that Python and every JVM know under names that are known here."""

from __future__ import annotations

import difflib
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

_JAVA: Final = {
    "utf_8": "UTF-8",
    "ascii": "US-ASCII",
    "latin_1": "ISO-8859-1",
    "utf_16": "UTF-16",
    "utf_16_be": "UTF-16BE",
    "utf_16_le": "UTF-16LE",
    "utf_32": "UTF-32",
    **{f"iso8859_{part}": f"ISO-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 13, 15)},
    **{f"cp{page}": f"windows-{page}" for page in range(1250, 1259)},
    **{f"cp{page}": f"IBM{page}" for page in (437, 850, 852, 855, 857, 858, 862, 866)},
    "koi8_r": "KOI8-R",
    "koi8_u": "KOI8-U",
    "tis_620": "TIS-620",
    "shift_jis": "Shift_JIS",
    "cp932": "windows-31j",
    "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP",
    "gb2312": "GB2312",
    "gbk": "GBK",
    "gb18030": "GB18030",
    "big5": "Big5",
    "euc_kr": "EUC-KR",
}
"""Java's name of each, keyed by Python's."""

_EVERY_SPARK: Final = frozenset(["UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16", "UTF-16BE", "UTF-16LE", "UTF-32"])


def java_name(name: str) -> str:
    """Return the name by which the JVM knows an encoding.

    Raises
    ------
    ValueError
        With the nearest encodings, if it is not one of those above.

    Examples
    --------
    >>> java_name("latin1"), java_name("cp1252")
    ('ISO-8859-1', 'windows-1252')
    """
    known = _java_name(name)
    if known is None:
        listed = sorted({*_JAVA.values()})
        upper = {listed_name.upper(): listed_name for listed_name in listed}
        close = difflib.get_close_matches(name.upper(), upper, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(upper[one] for one in close)}?" if close else f"known: {', '.join(listed)}"
        raise ValueError(f"encoding {name!r} is unknown; {hint}")
    return known


def in_every_spark(java: str) -> bool:
    """Tell whether Spark 4 reads an encoding without being asked to take those of the JVM."""
    return java in _EVERY_SPARK


def _java_name(name: str) -> str | None:
    if not name.isascii():
        return None
    plain = normalize_encoding(name.lower())
    by_java = {normalize_encoding(java.lower()): java for java in _JAVA.values()}
    return _JAVA.get(aliases.get(plain, plain)) or by_java.get(plain)
