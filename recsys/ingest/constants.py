"""Parts of a mapping's SQL that hold no column: Spark computes them once, before it looks at a row.

A constant text that becomes a date may be a clock (`recsys.ingest.literals`), and a function could put one together out
of harmless literals: `concat('no', 'w')`. So constants are written out, and functions of constants are limited to those
that make no text.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_ALLOWED: Final = (
    *(exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Cast, exp.Typeof),
    *(exp.Array, exp.Struct, exp.Map, exp.VarMap, exp.GenerateSeries, exp.RegexpLike),
    *(exp.Abs, exp.Pow, exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Round, exp.Floor, exp.Ceil),
    *(exp.TsOrDsToDate, exp.StrToTime, exp.TsOrDsAdd, exp.TimestampAdd, exp.DateFromUnixDate),
    *(exp.MakeInterval, exp.TimestampFromParts),
)
_ALLOWED_NAMES: Final = frozenset(
    ["make_date", "make_dt_interval", "timestamp_seconds", "timestamp_millis", "timestamp_micros"]
)


def check_constants(tree: exp.Expr) -> None:
    """Refuse functions of constants alone, but for those whose result is no text.

    Raises
    ------
    ValueError
        A phrase that quotes the part.
    """
    nodes = list(tree.walk(bfs=True))
    varying = _lambda_variables(nodes)
    for node in reversed(nodes):
        if isinstance(node, exp.Column) or any(id(child) in varying for child in _deciding(node)):
            varying.add(id(node))
    for node in nodes:
        if id(node) not in varying and _makes_text(node):
            raise ValueError(f"{node.sql('spark')} is the same for every row; write its value")


def _deciding(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a node that make it differ from row to row, if they do."""
    if isinstance(node, exp.Typeof):
        return []  # Spark knows a type before it has a row
    return [
        child for child in node.iter_expressions() if isinstance(node, exp.Lambda) or not isinstance(child, exp.Lambda)
    ]


def _makes_text(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower() not in _ALLOWED_NAMES
    return isinstance(node, (exp.Func, exp.DPipe)) and not isinstance(node, _ALLOWED)


def _lambda_variables(nodes: list[exp.Expr]) -> set[int]:
    """The places where the body of a lambda uses its variables: elements of an array, which differ from row to row."""
    found = set()
    for function in nodes:
        if not isinstance(function, exp.Lambda):
            continue
        names = {variable.name for variable in function.expressions}
        for used in function.this.find_all(exp.Identifier):
            field = (used.arg_key, type(used.parent)) in (("expression", exp.Dot), ("this", exp.PropertyEQ))
            declared = isinstance(used.parent, exp.Lambda) and used.arg_key == "expressions"
            if used.name in names and not field and not declared and not isinstance(used.parent, exp.Column):
                found.add(id(used))
    return found
