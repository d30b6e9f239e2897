"""Values on their way into SQL: escaped, typed, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from recsys.data.sql import condition, literal, quote

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ("it's", r"'it\'s'"),
        ("back\\slash", r"'back\\slash'"),
        (date(2024, 3, 1), "DATE '2024-03-01'"),
        (datetime(2024, 3, 1, 12, tzinfo=UTC), "TIMESTAMP '2024-03-01 12:00:00.000000'"),
        (datetime(2024, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))), "TIMESTAMP '2024-03-01 10:00:00.000000'"),
    ],
)
def test_literal(value: object, written: str) -> None:
    assert literal(value) == written


def test_a_value_without_a_literal_is_refused() -> None:
    with pytest.raises(TypeError, match="no SQL literal for a dict"):
        literal({})
    with pytest.raises(TypeError, match="an instant needs a zone"):
        literal(datetime(2024, 3, 1))


def test_condition_joins_equalities_and_lists() -> None:
    assert condition({"a": 1, "b": ["y", "x"]}) == "`a` = 1 AND `b` IN ('x', 'y')"
    assert condition({"a": 1}, alias="t") == "t.`a` = 1"
    assert condition({"a": []}) == "false"


def test_quote_doubles_backticks() -> None:
    assert quote("a`b") == "`a``b`"
