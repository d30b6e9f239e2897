"""SQL expressions in dataset mappings: parsed before Spark sees them, and limited to pure functions.

An expression may combine the columns of one source row with operators, CASE and the functions of `FUNCTIONS`. It can
read nothing else: no subquery, no other row (window, aggregate), no clock, no randomness, no file name, no Java call.
"""

from __future__ import annotations

import difflib
from typing import Final

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, TokenError


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
    all and any array_type as between both case distinct div else end for from ilike in interval is leading
    like not null or regexp rlike some then trailing when xor
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
    try:
        tokens = sqlglot.tokenize(text, read="spark")
        trees = [tree for tree in sqlglot.parse(text, read="spark") if tree is not None]
    except (ParseError, TokenError) as error:
        raise ValueError(f"expression {text!r} can't be parsed: {_first_line(error)}") from None
    if len(trees) != 1 or any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise ValueError(f"expression {text!r}: expected exactly one expression")
    _refuse_comments(text, tokens)
    _check_functions(text, tokens)
    tree = trees[0]
    if not isinstance(tree, exp.Condition) or isinstance(tree, exp.Query):
        raise ValueError(f"expression {text!r}: expected an expression, found a statement, an alias or a query")
    for kind, name in _FORBIDDEN:
        if tree.find(kind):
            raise ValueError(f"expression {text!r}: {name} is not allowed, only columns of the row itself")
    return frozenset(_columns(text, tree))


def _columns(text: str, tree: exp.Condition) -> list[str]:
    names = []
    for column in tree.find_all(exp.Column):
        first = column.parts[0]
        if first.name.lower() in _CLOCKS and not first.args.get("quoted"):
            raise ValueError(
                f"expression {text!r}: {first.name} differs from run to run; only pure functions are allowed"
            )
        names.append(first.name)
    return names


def _check_functions(text: str, tokens: list[Token]) -> None:
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        word = token.text.lower()
        if (
            word in _CLOCKS
            and token.token_type is not TokenType.IDENTIFIER
            and token.token_type is not TokenType.STRING
        ):
            raise ValueError(f"expression {text!r}: {word} differs from run to run; only pure functions are allowed")
        if after is None or after.token_type is not TokenType.L_PAREN or not _names_function(token):
            continue
        dotted = before is not None and before.token_type is TokenType.DOT
        if word in FUNCTIONS and not dotted:
            continue
        close = [] if dotted else difflib.get_close_matches(word, FUNCTIONS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"expression {text!r}: function {token.text} is not on the list of pure functions{hint}")


def _names_function(token: Token) -> bool:
    if token.token_type is TokenType.IDENTIFIER:
        return True
    if token.token_type in (TokenType.STRING, TokenType.NUMBER) or not (
        token.text[:1].isalpha() or token.text[:1] == "_"
    ):
        return False
    word = token.text.lower()
    return word in FUNCTIONS or word not in (_KEYWORDS | _TYPES)


def _refuse_comments(text: str, tokens: list[Token]) -> None:
    if any(token.comments for token in tokens):
        raise ValueError(f"expression {text!r}: comments are not allowed; use YAML comments")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
