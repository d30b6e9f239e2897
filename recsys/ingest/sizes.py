"""How large a value the SQL of a mapping can make of the row that it is given, judged by the text alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqlglot import exp

LARGEST: Final = 10_000
"""How many times the size of its input an expression may make, all nested functions together."""

_UNKNOWN: Final = 100
"""Taken as the length of a replacement that is not written out."""
_PER_ELEMENT: Final = 30
"""What a lambda counts at least, so that at most two are nested."""
_FIXED: Final = {"hex": 2, "base64": 2, "url_encode": 3}


def check_sizes(tree: exp.Expr) -> None:
    """Refuse an expression that repeats, pads or multiplies its input too often.

    Raises
    ------
    ValueError
        A phrase that names the function.
    """
    times = {id(tree): 1}
    for node in tree.walk(bfs=True):
        grows = times[id(node)] * _factor(node)
        if grows > LARGEST:
            raise ValueError(
                f"{_called(node)} makes a value more than {LARGEST:,} times as large as what it is given; "
                "give a smaller size"
            )
        for child in node.iter_expressions():
            times[id(child)] = grows


def _factor(node: exp.Expr) -> int:
    name = _called(node)
    if name in _FIXED:
        return _FIXED[name]
    if any(isinstance(child, exp.Lambda) for child in node.iter_expressions()):
        return max(_PER_ELEMENT, *(_uses(child) for child in node.iter_expressions() if isinstance(child, exp.Lambda)))
    measure = _MEASURES.get(name)
    return measure(node) if measure else 1


def _called(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    return _NAMES.get(type(node), "")


def _uses(function: exp.Lambda) -> int:
    names = {variable.name for variable in function.expressions}
    return sum(1 for found in function.this.find_all(exp.Identifier) if found.name in names)


def _size(node: exp.Expr, size: exp.Expr | None) -> int:
    """A size, which has to be written out as a whole number."""
    if isinstance(size, exp.Neg):
        size = size.this
    if not isinstance(size, exp.Literal) or size.is_string or not str(size.this).isdigit() or len(size.this) > 9:
        raise ValueError(f"{_called(node)} needs its size written out, as a whole number of at most {LARGEST:,}")
    if int(size.this) > LARGEST:
        raise ValueError(f"the size {size.this} of {_called(node)} is too large; the limit is {LARGEST:,}")
    return max(1, int(size.this))


def _second(node: exp.Expr) -> int:
    arguments = node.expressions
    return _size(node, arguments[1] if len(arguments) > 1 else None)


def _format_number(node: exp.Expr) -> int:
    arguments = node.expressions
    pattern = arguments[1] if len(arguments) > 1 else None
    return 1 if isinstance(pattern, exp.Literal) and pattern.is_string else _size(node, pattern)


def _format_string(node: exp.Expr) -> int:
    pattern = node.this
    if not isinstance(pattern, (exp.Literal, exp.RawString)) or not getattr(pattern, "is_string", True):
        raise ValueError("format_string needs its pattern written out")
    widths = [int(digits[:9]) for digits in re.findall(r"[0-9]+", str(pattern.this))]
    if any(width > LARGEST for width in widths):
        raise ValueError(f"a width of format_string is too large; the limit is {LARGEST:,}")
    return max(1, *widths, 1)


def _sequence(node: exp.Expr) -> int:
    bounds = [node.args.get("start"), node.args.get("end"), node.args.get("step")]
    start, end, step = (0 if bound is None else _whole(node, bound) for bound in bounds)
    count = abs(end - start) // max(1, abs(step)) + 1
    if count > LARGEST:
        raise ValueError(f"sequence makes {count:,} elements; the limit is {LARGEST:,}")
    return count


def _whole(node: exp.Expr, bound: exp.Expr) -> int:
    negative = isinstance(bound, exp.Neg)
    number = bound.this if negative else bound
    if not isinstance(number, exp.Literal) or number.is_string or not str(number.this).isdigit():
        raise ValueError("sequence needs its bounds written out as whole numbers")
    return -int(number.this) if negative else int(number.this)


def _decimals(node: exp.Expr) -> int:
    """Digits to round to: they don't make a value larger, but too many take forever."""
    given = node.expressions[1:2] if isinstance(node, exp.Anonymous) else [node.args.get("decimals")]
    for decimals in given:
        if decimals is not None:
            _size(node, decimals)
    return 1


def _replacement(node: exp.Expr) -> int:
    new = node.args.get("replacement")
    if new is None:
        return 1
    return max(1, len(str(new.this))) if isinstance(new, (exp.Literal, exp.RawString)) else _UNKNOWN


_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.Repeat: "repeat",
    exp.Pad: "lpad or rpad",
    exp.GenerateSeries: "sequence",
    exp.Format: "format_string",
    exp.Replace: "replace",
    exp.RegexpReplace: "regexp_replace",
    exp.Hex: "hex",
    exp.ToBase64: "base64",
    exp.Round: "round",
    exp.Ceil: "ceil",
    exp.Floor: "floor",
    exp.Transform: "transform",
}
_MEASURES: Final[dict[str, Callable[[exp.Expr], int]]] = {
    "repeat": lambda node: _size(node, node.args.get("times")),
    "lpad or rpad": lambda node: _size(node, node.args.get("expression")),
    "array_repeat": _second,
    "format_number": _format_number,
    "format_string": _format_string,
    "sequence": _sequence,
    "replace": _replacement,
    "regexp_replace": _replacement,
    "round": _decimals,
    "bround": _decimals,
    "ceil": _decimals,
    "floor": _decimals,
}
