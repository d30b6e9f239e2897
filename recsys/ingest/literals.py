"""Literals and quoted names in the SQL of a mapping, read by Spark's own rules rather than by those of a parser.

Spark turns a few words into clocks: where a constant text becomes a date or a timestamp, `epoch`, `now`, `today`,
`tomorrow` and `yesterday`, in any case, with spaces around them or a time zone behind them, stand for an instant of the
run. In Spark 3.5 and 4.0 that holds for typed literals (`DATE 'today'`) and, by the optimizer's rule
`SpecialDatetimeValues`, for every cast of a constant, written or implied: `cast('now' AS DATE)`, `to_date('now')`,
`a_date < 'now'`, `date_add('now', 1)`. A text that comes from a column is never special.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

_PIECE: Final = re.compile(
    r"(?P<raw>(?<![A-Za-z0-9_])[rR](?:'[^']*'|\"[^\"]*\"))"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>`(?:[^`]|``)*`)",
    re.DOTALL,
)
_STRANGE: Final = re.compile(r"[^A-Za-z0-9_ \t\r\n()\[\],.+\-*/%<>=!|&^~:]")
_PREFIX: Final = re.compile(r"(?<![A-Za-z0-9_])[A-Za-z]$")
_CODED: Final = re.compile(r"\\(.)", re.DOTALL)
_LARGE_EXPONENT: Final = re.compile(r"[0-9.][eE][+-]?[0-9]{4}")
_SPECIAL: Final = re.compile(r"[\x00-\x20\x7f\s]*(?:epoch|now|today|tomorrow|yesterday)(?![A-Za-z])", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

SUBSTITUTION: Final = "${"
"""Where Spark would put a variable of the environment, of the JVM or of its own settings into a SQL text."""


@dataclass(frozen=True)
class Piece:
    """A literal text or a quoted name.

    Attributes
    ----------
    kind : str
        `raw` and `text` are literals, with and without a leading `r`; `name` is in backquotes.
    start, end : int
        Its first and its last character, the quotes included.
    value : str
        What Spark reads.
    """

    kind: Literal["raw", "text", "name"]
    start: int
    end: int
    value: str


def is_special(value: str) -> bool:
    """Tell whether Spark reads a constant text as an instant of the run when it becomes a date or a timestamp.

    Examples
    --------
    >>> is_special(" Today CET"), is_special("nowhere")
    (True, False)
    """
    return _SPECIAL.match(value) is not None


def control_character(value: str) -> str | None:
    """Return the first control character of a text, written out, or None; tabs and line breaks are none."""
    found = _CONTROL.search(value)
    return f"U+{ord(found.group()):04X}" if found else None


def pieces(text: str) -> list[Piece]:
    """Find the literals and the quoted names of an expression.

    Raises
    ------
    ValueError
        A phrase that says what Spark and a reader may see differently: a character that has no place outside of quotes,
        an open quote, a comment, a coded character, a literal of another kind.
    """
    if SUBSTITUTION in text:
        raise ValueError(f"{SUBSTITUTION}…}} would be replaced by a setting or a secret; write the value itself")
    found: list[Piece] = []
    bare, at = "", 0
    for match in _PIECE.finditer(text):
        before = text[at : match.start()]
        if match.lastgroup == "text" and _PREFIX.search(before):
            raise ValueError(f"literals such as {before[-1]}'…' are not allowed; write a plain text in quotes")
        bare, at = f"{bare}{before} ", match.end()
        found.append(_piece(match))
    _check_bare(bare + text[at:])
    return found


def _piece(match: re.Match[str]) -> Piece:
    written, start, end = match.group(), match.start(), match.end() - 1
    control = control_character(written)
    if control:
        raise ValueError(f"the control character {control} is not allowed")
    if match.lastgroup == "raw":
        return Piece("raw", start, end, written[2:-1])
    if match.lastgroup == "name":
        return Piece("name", start, end, written[1:-1].replace("``", "`"))
    return Piece("text", start, end, _CODED.sub(_decoded, written[1:-1]))


def _decoded(match: re.Match[str]) -> str:
    """What an escape stands for, as far as it can be seen: one for a character that can't is refused."""
    if match.group(1) in "uUZb0123456789":
        raise ValueError(f"the coded character {match.group()} is not allowed in a literal; write it as it is")
    return {"n": "\n", "r": "\r", "t": "\t"}.get(match.group(1), match.group(1))


def _check_bare(text: str) -> None:
    if "--" in text or "/*" in text or "*/" in text:
        raise ValueError("comments are not allowed; use YAML comments")
    strange = _STRANGE.search(text)
    if strange:
        character = strange.group()
        if character in "'\"`":
            raise ValueError(f"a quote {character} is not closed")
        shown = character if character.isprintable() else f"U+{ord(character):04X}"
        raise ValueError(f"the character {shown} has no place outside of quotes; put a column's name in backquotes")
    if _LARGE_EXPONENT.search(text):
        raise ValueError("a number with an exponent of more than three digits is not allowed")
