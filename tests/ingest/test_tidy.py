"""What a mapping may ask for the values of a column, on literal rows: one query for all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys.errors import ConfigError
from recsys.ingest.dataset import Source, require_same_ids
from recsys.ingest.given import REASONS_TEXT, SKIPPED
from recsys.ingest.mappable import BROKEN, FILE, RAW
from recsys.ingest.mapping import map_source
from recsys.ingest.rules import Bounds
from tests.ingest import support

pytestmark = pytest.mark.fast

RATES = {"USD": 0.5, "gbp": 1.25}
ITEMS: dict[str, Any] = {
    "name": "goods",
    "table": "items",
    "path": "x",
    "format": "csv",
    "columns": {
        "item_id": "sku",
        "title": {"column": "name", "missing": "drop", "normalize": "nfkc"},
        "brand": {"column": "brand", "case": "lower", "synonyms": {"h&m": "hm", "hennes": "hm"}},
        "category": {"column": "cat", "missing": "constant", "fill": "other", "flag": True},
        "price": {"column": "preis", "decimal": ",", "currency": {"column": "cur", "rates": RATES, "to": "EUR"}},
        "currency": {"column": "cur", "missing": "quarantine"},
    },
}
ROWS = [
    ("a", "\uff71\ufb01\uff12 \u3000", "H&M", "toys", "1.234,50", "EUR"),
    ("b", "\u00b4", "Hennes", " ", "-,5", " gbp"),
    ("c", "", "C", "toys", "1", "EUR"),
    ("d", "D", None, "toys", "n/a", "EUR"),
    ("e", "E", "Other", "toys", None, None),
    ("f", "F", None, "toys", "12", "CHF"),
    ("g", "G", None, "toys", "12", None),
    ("h", "H", None, "toys", "12", "usd"),
]


def source(**columns: Any) -> Source:
    return Source.model_validate({**ITEMS, "columns": {**ITEMS["columns"], **columns}})


def test_values_are_tidied_and_rows_with_gaps_go_where_the_mapping_says(spark: SparkSession) -> None:
    schema = f"sku string, name string, brand string, cat string, preis string, cur string, {RAW} string, {FILE} string"
    rows = [(*row, ",".join(map(str, row)), "f", False) for row in ROWS]
    frame = spark.createDataFrame(rows, f"{schema}, {BROKEN} boolean")
    bounds = Bounds.of(support.SETTINGS, now=support.NOW, max_list_length=5)
    found = {row["item_id"]: row for row in map_source(frame, source(), timezone="UTC", bounds=bounds).collect()}
    assert {id_: (row[SKIPPED], row[REASONS_TEXT]) for id_, row in found.items()} == {
        "a": (False, ""),
        "b": (False, "negative:price"),
        "c": (True, ""),
        "d": (False, "bad_type:price"),
        "e": (False, "missing:currency"),
        "f": (False, "unknown_currency:price"),
        "g": (False, "unknown_currency:price;missing:currency"),
        "h": (False, ""),
    }
    assert {id_: (row["brand"], row["price"]) for id_, row in found.items()} == {
        "a": ("hm", 1234.5),
        "b": ("hm", -0.625),
        "c": ("c", 1.0),
        "d": (None, None),
        "e": ("other", None),
        "f": (None, None),
        "g": (None, None),
        "h": (None, 6.0),
    }
    assert {id_: found[id_]["title"] for id_ in "abh"} == {"a": "\u30a2fi2", "b": "\u0301", "h": "H"}
    assert {id_: (row["category"], row["attributes"]) for id_, row in found.items()} == {
        **{id_: ("toys", {}) for id_ in "acdefgh"},
        "b": ("other", {"category_missing": "true"}),
    }


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"price": {"column": "p", "missing": "constant"}}, "constant and fill go together"),
        ({"price": {"column": "p", "fill": 1}}, "constant and fill go together"),
        ({"price": {"column": "p", "currency": {"column": "c", "rates": {"USD": 2, "usd": 2}, "to": "EUR"}}}, "twice"),
        ({"price": {"column": "p", "currency": {"column": "c", "rates": {"EUR": 2}, "to": "EUR"}}}, "is 1"),
        ({"brand": {"column": "p", "currency": {"column": "c", "rates": {"USD": 2}, "to": "EUR"}}}, "no amount"),
        ({"brand": {"literal": "x", "case": "upper"}}, "column brand is the same in every row"),
    ],
)
def test_what_does_not_fit_is_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=says):
        source(**columns)


def test_a_list_takes_no_rule_for_single_values() -> None:
    columns = {**support.EVENT_COLUMNS, "price": {"column": "p", "missing": "drop"}}
    with pytest.raises(ValueError, match="column price holds a list"):
        support.dataset(support.source(columns=columns, explode=["item_id", "price"]))


def test_a_mapping_that_was_stored_before_there_were_such_rules_is_the_same_mapping() -> None:
    columns = {name: column for name, column in support.EVENT_COLUMNS.items() if name != "event_id"}
    now = support.dataset(support.source(columns=columns))
    before = now.model_dump(mode="json")
    for one in before["sources"][0]["columns"].values():
        for name in ("normalize", "currency", "case", "decimal", "synonyms", "missing", "fill", "flag"):
            del one[name]
    require_same_ids(now, before)
    tidied = support.dataset(support.source(columns={**columns, "price": {"column": "price", "decimal": ","}}))
    with pytest.raises(ConfigError, match="cleaned under another mapping"):
        require_same_ids(tidied, before)


def test_the_amounts_of_a_list_are_in_the_currency_of_their_row(spark: SparkSession, tmp_path: Path) -> None:
    columns = {**support.EVENT_COLUMNS, "item_id": "items", "quantity": {"literal": 1}}
    columns["price"] = {"column": "prices", "currency": {"column": "cur", "rates": RATES, "to": "EUR"}}
    mapping = support.dataset(support.source(columns=columns, explode=["item_id", "price"]))
    row = support.event(items=["a", "b"], prices=[2, 4], cur="USD", item=None, price=None)
    support.write(tmp_path, "events.json", support.lines([row, {**row, "id": "e2", "cur": "XXX"}]))
    found = support.opened(spark, mapping, tmp_path)
    bounds = Bounds.of(support.SETTINGS, now=support.NOW, max_list_length=5)
    rows = map_source(found.frames[0][1], mapping.sources[0], timezone="UTC", bounds=bounds).collect()
    assert {one["event_id"]: (one["price"], one[REASONS_TEXT]) for one in rows} == {
        "e1": ([1.0, 2.0], ""),
        "e2": ([None, None], "unknown_currency:price"),
    }
