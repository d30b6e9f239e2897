"""Expressions of mappings: pure ones pass and yield their columns; anything else is refused."""

from __future__ import annotations

import pytest

from recsys.ingest.expressions import FUNCTIONS, referenced_columns

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("price", {"price"}),
        ("`Customer ID`", {"Customer ID"}),
        ("upper(a) || 'x' || b", {"a", "b"}),
        ("CASE WHEN a LIKE 'C%' THEN -n ELSE n END", {"a", "n"}),
        ("element_at(split(genres, '[|]'), 1)", {"genres"}),
        ("transform(split(tags, ','), x -> trim(x))", {"tags"}),
        ("a IN (1, 2) AND b BETWEEN 1 AND (3) OR NOT (c IS NULL)", {"a", "b", "c"}),
        ("place.city", {"place"}),
        ("CAST(a AS DECIMAL(10, 2)) + try_cast(b AS INT)", {"a", "b"}),
        ("t + INTERVAL 1 DAY", {"t"}),
        ("timestamp_seconds(1 + pmod(xxhash64(u, i), 10))", {"u", "i"}),
        ("TIMESTAMP '2011-05-01 00:00:00'", set()),
        ("'rand()'", set()),
        ("m['key'] <=> a[0]", {"m", "a"}),
        ("CASE WHEN kind LIKE 'now' THEN 1 END", {"kind"}),
        ("if(kind LIKE 'today', 1, 2)", {"kind"}),
        ("get_json_object(item, '$.a[0].b[*]')", {"item"}),
        ("to_utc_timestamp(t, 'CET')", {"t"}),
        ("array_sort(split(a, ','), (l, r) -> CASE WHEN l < r THEN -1 ELSE 1 END)", {"a"}),
        ("date_format(d, \"yyyy-MM-dd'T'HH:mm\")", {"d"}),
        ("d < DATE '2024-01-01' + INTERVAL 1 DAY", {"d"}),
        ("replace(replace(price, '.', ''), ',', '.')", {"price"}),
        ("lpad(month, 2, '0') || '-' || rpad(day, 2, '0')", {"month", "day"}),
        ("regexp_replace(text, r'(\\d+)\\s', '$1')", {"text"}),
        ("element_at(map('a', 'view', 'b', 'click'), kind)", {"kind"}),
        ("to_date('2020-01-01') <= d AND n < 60 * 60 * 24", {"d", "n"}),
        ("`größe` = 'für'", {"größe"}),
    ],
)
def test_pure_expressions_name_their_columns(text: str, columns: set[str]) -> None:
    assert referenced_columns(text) == columns


@pytest.mark.parametrize(
    "text",
    [
        "rand()",
        "uuid()",
        "current_timestamp",
        "CURRENT_DATE()",
        "now()",
        "current_user",
        "input_file_name()",
        "monotonically_increasing_id()",
        "reflect('java.lang.Runtime', 'getRuntime')",
        "`reflect`('java.lang.Runtime', 'getRuntime')",
        "java_method('java.lang.System', 'exit', 1)",
        "if(true, rand(), 1)",
        "secret('scope', 'key')",
        "spark_catalog.default.upper(a)",
        "(SELECT 1)",
        "a IN (SELECT b FROM c)",
        "EXISTS (SELECT 1)",
        "sum(a)",
        "row_number() OVER (PARTITION BY a ORDER BY b)",
        "lag(a) OVER (ORDER BY b)",
        "explode(a)",
        "*",
        "count(*)",
        "a AS b",
        "a; DROP TABLE t",
        "DROP TABLE t",
        "SELECT a",
        "a -- comment",
        "a /* comment */",
        "${a}",
        ":a",
        "(",
        "a +",
        "",
        "upperr(a)",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expression "):
        referenced_columns(text)


SHAPES = (
    *("(a)", "(a, b)", "(a, 2)", "(a, 2, b)", "(a, 'x', b)", "(a, b, c, d, e, f)", "(a, x -> x)", "(a AS int)"),
    *("(a, c, (x, y) -> x)", "(1, 9)", "(year FROM a)", "(a, b, c)", "('%s', a)"),
)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_every_function_of_the_list_can_be_called(function: str) -> None:
    assert any(_passes(function + shape) for shape in SHAPES)


def _passes(text: str) -> bool:
    try:
        referenced_columns(text)
    except ValueError:
        return False
    return True


def test_a_mistyped_function_comes_with_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"function substrin is not .*; did you mean substring"):
        referenced_columns("substrin(a, 1, 2)")


def test_no_function_of_the_list_looks_beyond_the_row() -> None:
    assert not FUNCTIONS & {"rand", "randn", "uuid", "now", "reflect", "java_method", "input_file_name", "raise_error"}
