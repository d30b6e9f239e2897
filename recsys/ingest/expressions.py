"""SQL expressions in dataset mappings: parsed before Spark sees them, and limited to pure functions.

An expression may combine the columns of one source row with operators, CASE and the functions of `FUNCTIONS`. It can
read nothing else: no subquery, no other row (window, aggregate), no clock, no randomness, no file name, no Java call,
no variable. What it makes of a row is bounded in size, and so is its own text.

The text is read twice: `recsys.ingest.literals` finds literals and quoted names by Spark's rules, sqlglot parses all of
it. Where the two disagree about what is a literal, the expression is refused.
"""

from __future__ import annotations

from typing import Final

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from recsys.ingest.constants import check_constants
from recsys.ingest.literals import Piece, is_special, pieces
from recsys.ingest.sizes import check_sizes
from recsys.settings import closest

LONGEST: Final = 10_000
"""Characters of an expression."""
DEEPEST: Final = 20
"""Brackets, CASEs and signs within each other."""
_CALL_OF_A_TYPE: Final = 3
LONGEST_CHAIN: Final = 200
"""Depth of the parsed expression: operators in a row, such as OR, count as nested."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS: Final = _words(
    """
    abs acos add_months array array_compact array_contains array_distinct array_except array_intersect
    array_join array_max array_min array_position array_remove array_repeat array_size array_sort
    array_union arrays_overlap arrays_zip ascii base64 bin bround btrim cast ceil ceiling char char_length
    character_length chr coalesce concat concat_ws contains conv crc32 date date_add date_diff date_format
    date_from_unix_date date_part date_sub date_trunc dateadd datediff datepart day dayofmonth dayofweek
    dayofyear decode element_at elt endswith exists exp extract filter find_in_set flatten floor forall
    format_number format_string from_unixtime from_utc_timestamp get_json_object greatest hash hex hour if
    ifnull initcap instr isnan isnotnull isnull last_day lcase least left len length levenshtein ln locate
    log log10 log1p log2 lower lpad ltrim make_date make_dt_interval make_interval make_timestamp map
    map_keys map_values md5 minute mod month months_between named_struct nanvl negative next_day nullif nvl
    nvl2 octet_length overlay parse_url pmod position positive pow power quarter regexp_count regexp_extract
    regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right
    rint round rpad rtrim second sequence sha sha1 sha2 shiftleft shiftright sign signum size slice
    sort_array soundex split split_part sqrt startswith struct substr substring substring_index
    timestamp_micros timestamp_millis timestamp_seconds to_date to_timestamp to_utc_timestamp transform
    translate trim trunc try_add try_cast try_divide try_element_at try_multiply try_subtract try_to_number
    try_to_timestamp typeof ucase unbase64 unhex unix_date unix_micros unix_millis unix_seconds upper
    url_decode url_encode weekday weekofyear xxhash64 year zip_with
    """
)
"""Spark SQL functions whose value depends on their arguments alone."""

_KEYWORDS: Final = _words(
    """
    and any as between both case distinct div else end for from ilike in interval is leading like not null or
    regexp rlike then trailing when
    """
)
_TYPES: Final = _words(
    """
    array char date dec decimal map numeric string struct timestamp varchar
    """
)
_CLOCKS: Final = _words(
    """
    current_catalog current_database current_date current_schema current_time current_timestamp
    current_timezone current_user localtimestamp now session_user user
    """
)
_HIDDEN: Final = "_metadata"
"""The column that Spark adds to what it reads from files."""
_QUERIES: Final = _words("select table values with over lateral pivot")
_FORBIDDEN: Final = (
    (exp.Query, "a subquery"),
    (exp.Subquery, "a subquery"),
    (exp.Window, "a window over other rows"),
    (exp.AggFunc, "an aggregate over other rows"),
    (exp.Star, "a star"),
    (exp.Placeholder, "a parameter"),
    (exp.Parameter, "a parameter"),
    (exp.SessionParameter, "a parameter"),
)
_NODES: Final = (
    *(exp.Column, exp.Identifier, exp.Dot, exp.Bracket, exp.Lambda, exp.PropertyEQ),
    *(exp.Literal, exp.RawString, exp.Boolean, exp.Null, exp.Interval, exp.IntervalSpan, exp.Var),
    *(exp.Paren, exp.Tuple, exp.And, exp.Or, exp.Not, exp.In, exp.Between, exp.Is, exp.Case),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Like, exp.ILike, exp.Escape, exp.Any, exp.DPipe),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg),
    *(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.BitwiseLeftShift, exp.BitwiseRightShift),
    *(exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.AtTimeZone, exp.FromTimeZone),
    *(exp.JSONPath, exp.JSONPathPart),
)
"""What an expression may be made of, beside functions; their names are compared with `FUNCTIONS`."""
_TEXTS: Final = (TokenType.STRING, TokenType.RAW_STRING)
_PATTERNS: Final = (TokenType.LIKE, TokenType.ILIKE, TokenType.RLIKE)
_ENDS: Final = (
    *(TokenType.AND, TokenType.OR, TokenType.R_PAREN, TokenType.COMMA),
    *(TokenType.WHEN, TokenType.THEN, TokenType.ELSE, TokenType.END),
)
"""What may follow a pattern without becoming part of it."""


def referenced_columns(text: str) -> frozenset[str]:
    """Check one expression and return the source columns that it reads.

    Parameters
    ----------
    text : str
        A Spark SQL expression, such as ``concat(session, ':', step)`` or ``Quantity > 0 AND Price IS NOT NULL``.

    Raises
    ------
    ValueError
        If it can't be parsed, or uses anything but columns, literals, operators and the functions of `FUNCTIONS`.

    Examples
    --------
    >>> sorted(referenced_columns("upper(title) || `first name`"))
    ['first name', 'title']
    """
    if len(text) > LONGEST:
        raise ValueError(f"expression {text[:60] + '…'!r} has {len(text):,} characters; the limit is {LONGEST:,}")
    try:
        found = pieces(text)
        tokens, tree = _parsed(text)
        _check_literals(tokens, found)
        _check_functions(tokens)
        _check_nodes(tree)
        check_constants(tree)
        check_sizes(tree)
        return frozenset(_columns(tree))
    except ValueError as problem:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise ValueError(f"expression {shown!r}: {problem}") from None


def _parsed(text: str) -> tuple[list[Token], exp.Expr]:
    try:
        tokens = sqlglot.tokenize(text, read="spark")
        nested = _nesting(tokens) > DEEPEST
        trees = [] if nested else [tree for tree in sqlglot.parse(text, read="spark") if tree is not None]
    except (ParseError, TokenError) as error:
        raise ValueError(f"it can't be parsed ({str(error).splitlines()[0].rstrip('.')})") from None
    except Exception as error:  # the parser trips over calls with too few arguments
        raise ValueError(f"it can't be parsed ({type(error).__name__}); check the arguments of its functions") from None
    if nested:
        raise ValueError(f"it is nested more than {DEEPEST} deep; split it over several columns")
    if len(trees) != 1:
        raise ValueError("expected exactly one expression")
    return tokens, trees[0]


def _nesting(tokens: list[Token]) -> int:
    """The largest number of brackets, CASEs and signs that are open at once, which is what a parser recurses over.

    Lambdas, and types within types, count to the end of the expression. A call of a type, such as `date(…)`, counts as
    several: the parser tries each as a type first, and so reads what it holds twice.
    """
    opened: list[int] = []
    arrows = signs = deepest = 0
    before = ""
    for token in tokens:
        word = "" if token.token_type in _TEXTS else token.text.lower()
        signs = signs + 1 if word in ("not", "!", "-", "+", "~", "<") else 0
        arrows += word == "->" or (word == "<" and before in _TYPES)
        if word in ("(", "[", "case"):
            opened.append(_CALL_OF_A_TYPE if word == "(" and before in _TYPES else 1)
        elif word in (")", "]", "end") and opened:
            opened.pop()
        deepest = max(deepest, sum(opened) + arrows + signs)
        before = word
    return deepest


def _check_literals(tokens: list[Token], found: list[Piece]) -> None:
    quoted = [at for at, token in enumerate(tokens) if token.token_type in (*_TEXTS, TokenType.IDENTIFIER)]
    if [(tokens[at].start, tokens[at].end) for at in quoted] != [(piece.start, piece.end) for piece in found]:
        raise ValueError("it is not clear where its literals end; use single quotes, with \\ before a quote in them")
    for at, piece in zip(quoted, found, strict=True):
        before, after = (tokens[i].token_type if 0 <= i < len(tokens) else None for i in (at - 1, at + 1))
        if piece.kind != "name" and after in _TEXTS:
            raise ValueError("two literals stand side by side; make them one, with \\ before a quote in it")
        compared = before in _PATTERNS and (after is None or after in _ENDS)
        if piece.kind != "name" and is_special(piece.value) and not compared:
            raise ValueError(
                f"Spark reads {piece.value!r} as an instant of the run, which differs from run to run; "
                f"give a date, or compare a text by LIKE {piece.value!r}"
            )


def _check_nodes(tree: exp.Expr) -> None:
    if not isinstance(tree, (*_NODES, exp.Func)):
        raise ValueError("expected an expression, found a statement, an alias or a query")
    depths = {id(tree): 1}
    for node in tree.walk(bfs=True):
        for kind, name in _FORBIDDEN:
            if isinstance(node, kind):
                raise ValueError(f"{name} is not allowed, only columns of the row itself")
        if isinstance(node, exp.Anonymous) and str(node.name).lower() not in FUNCTIONS:
            raise ValueError(f"function {node.name} is not on the list of pure functions")
        if isinstance(node, exp.Any) and not isinstance(node.parent, (exp.Like, exp.ILike)):
            raise ValueError("any is an aggregate over other rows, only columns of the row itself are allowed")
        if not isinstance(node, (*_NODES, exp.Func)) or type(node) is exp.JSONExtract:
            raise ValueError(f"{type(node).__name__} is not allowed, only columns, literals, operators and functions")
        if depths[id(node)] > LONGEST_CHAIN:
            raise ValueError(f"more than {LONGEST_CHAIN} operators in a row; use IN, or split it over several columns")
        for child in node.iter_expressions():
            depths[id(child)] = depths[id(node)] + 1


def _columns(tree: exp.Expr) -> list[str]:
    names = []
    for column in tree.find_all(exp.Column):
        first = column.parts[0]
        if first.name.lower() in _CLOCKS and not first.args.get("quoted"):
            raise ValueError(f"{first.name} differs from run to run; only pure functions are allowed")
        if first.name.lower() == _HIDDEN:
            raise ValueError(f"{first.name} tells of the file, not of the row")
        names.append(first.name)
    return names


def _check_functions(tokens: list[Token]) -> None:
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        word, quoted = token.text.lower(), token.token_type in (*_TEXTS, TokenType.IDENTIFIER)
        dotted = before is not None and before.token_type is TokenType.DOT
        if not quoted and not dotted and word in _CLOCKS:
            raise ValueError(f"{word} differs from run to run; only pure functions are allowed")
        if token.token_type is TokenType.DARROW:
            raise ValueError("->> is no operator of Spark; write get_json_object")
        if not quoted and not dotted and word in _QUERIES:
            raise ValueError(
                f"{token.text} begins a query; only columns of the row itself (a column goes in backquotes)"
            )
        if after is None or after.token_type is not TokenType.L_PAREN or not _names_function(token):
            continue
        if word in FUNCTIONS and not dotted:
            continue
        close = None if dotted else closest(word, sorted(FUNCTIONS))
        hint = f"; did you mean {close}?" if close else ""
        raise ValueError(f"function {token.text} is not on the list of pure functions{hint}")


def _names_function(token: Token) -> bool:
    if token.token_type is TokenType.IDENTIFIER:
        return True
    if token.token_type in (*_TEXTS, TokenType.NUMBER) or not (token.text[:1].isalpha() or token.text[:1] == "_"):
        return False
    word = token.text.lower()
    return word in FUNCTIONS or word not in (_KEYWORDS | _TYPES)
