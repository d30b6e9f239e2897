"""Items and users: records, sightings, and a second run over what the first one stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from recsys import data
from tests.ingest.support import Outcome, clean, dataset, lines, write

pytestmark = pytest.mark.spark


def goods(**changes: Any) -> dict[str, Any]:
    columns = {"item_id": "sku", "valid_from": "since", "title": "title", "price": "price", "available": "stock"}
    return {"name": "goods", "table": "items", "path": "goods.json", "format": "json", "columns": columns, **changes}


def good(sku: str, since: str | None, title: str, **more: Any) -> dict[str, Any]:
    return {k: v for k, v in {"sku": sku, "since": since, "title": title, **more}.items() if v is not None}


def states(found: Outcome) -> list[tuple[Any, ...]]:
    def day(instant: Any) -> str | None:
        return None if instant is None else str(instant)[:10]

    return sorted(
        (row["item_id"], day(row["valid_from"]), day(row["valid_to"]), row["is_current"], row["title"])
        for row in found.tables["items"]
    )


def test_records_follow_one_another(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        good("a", None, "first", stock="Y"),
        good("a", "2024-03-01", "second", stock="N"),
        good("a", "2024-02-01", "renamed"),
        good("a", "2024-02-07", "renamed"),
        good("b", "2024-01-01", "only", stock="maybe"),
        good("c", "2024-01-01", "only", price="-1"),
        good("d", "soon", "never"),
    ]
    write(tmp_path, "goods.json", lines(rows))
    found = clean(spark, dataset(goods()), tmp_path)
    assert states(found) == [
        ("a", "1970-01-01", "2024-02-01", False, "first"),
        ("a", "2024-02-01", "2024-03-01", False, "renamed"),
        ("a", "2024-03-01", None, True, "second"),
    ]
    assert [row["available"] for row in sorted(found.tables["items"], key=lambda r: r["valid_from"])] == [
        True,
        True,
        False,
    ]
    assert found.reasons() == {"bad_type:available": 1, "negative:price": 1, "bad_time:valid_from": 1}


@pytest.mark.parametrize(("column", "old", "new"), [("updated", "2023-01-01", "2024-01-01"), ("version", 9, 10)])
def test_the_latest_of_a_key_stays(spark: SparkSession, tmp_path: Path, column: str, old: Any, new: Any) -> None:
    rows = [good("a", None, "new", **{column: new}), good("a", None, "old", **{column: old})]
    write(tmp_path, "goods.json", lines([*rows, rows[0]]))
    found = clean(spark, dataset(goods(latest_by=column)), tmp_path)
    assert states(found) == [("a", "1970-01-01", None, True, "new")]
    assert found.reasons() == {"duplicate_key": 1, "duplicate_row": 1}


def test_sightings_become_changes(spark: SparkSession, tmp_path: Path) -> None:
    """The most frequent state of a key wins; equal states are merged; nothing is refused."""
    rows = [
        good("a", "2024-01-01", "x"),
        good("a", "2024-01-01", "x"),
        good("a", "2024-01-01", "y"),
        good("a", "2024-01-02", "x"),
        good("a", "2024-01-03", "z"),
        good("a", "2024-01-04", "x"),
    ]
    write(tmp_path, "goods.json", lines(rows))
    found = clean(spark, dataset(goods(observations=True)), tmp_path)
    assert states(found) == [
        ("a", "2024-01-01", "2024-01-03", False, "x"),
        ("a", "2024-01-03", "2024-01-04", False, "z"),
        ("a", "2024-01-04", None, True, "x"),
    ]
    assert found.reasons() == {}


@pytest.mark.parametrize("observations", [False, True])
def test_a_second_run_changes_nothing_and_a_later_batch_continues(
    spark: SparkSession, tmp_path: Path, observations: bool
) -> None:
    mapping = dataset(goods(observations=observations))
    write(tmp_path, "one/goods.json", lines([good("a", "2024-01-01", "x"), good("b", None, "b")]))
    write(tmp_path, "two/goods.json", lines([good("a", "2024-02-01", "y"), good("a", "2024-03-01", "y")]))

    def known(outcome: Outcome) -> dict[str, Any]:
        return {"items": spark.createDataFrame(outcome.tables["items"], data.ITEMS.ddl())}

    first = clean(spark, mapping, tmp_path / "one")
    assert states(clean(spark, mapping, tmp_path / "one", existing=known(first))) == states(first)
    second = clean(spark, mapping, tmp_path / "two", existing=known(first))
    expected = [
        ("a", "2024-01-01", "2024-02-01", False, "x"),
        ("a", "2024-02-01", None, True, "y"),
        ("b", "1970-01-01", None, True, "b"),
    ]
    assert states(second) == sorted(expected, key=lambda state: (state[0], state[1]))
    assert states(clean(spark, mapping, tmp_path / "two", existing=known(second))) == states(second)


def test_a_record_outranks_a_sighting(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path, "goods.json", lines([good("a", "2024-01-01", "catalog")]))
    write(tmp_path, "sold.json", lines([good("a", "2024-01-01", "till"), good("b", "2024-01-01", "till")]))
    sold = goods(name="sold", path="sold.json", observations=True)
    found = clean(spark, dataset(sold, goods()), tmp_path)
    assert [(item, title) for item, _, _, _, title in states(found)] == [("a", "catalog"), ("b", "till")]


def test_users(spark: SparkSession, tmp_path: Path) -> None:
    people = {
        "name": "people",
        "table": "users",
        "path": "people.csv",
        "format": "csv",
        "columns": {
            "user_id": "id",
            "birth_year": "born",
            "signed_up_at": {"column": "joined", "format": "unix_s"},
        },
        "attributes": ["city"],
        "null_values": ["NA"],
    }
    write(tmp_path, "people.csv", "id,born,joined,city\n1,1980,1714557600,Ulm\n2,NA,NA,NA\n3,old,1,Bonn\n,1,1,Kiel\n")
    found = clean(spark, dataset(people), tmp_path)
    rows = {row["user_id"]: row for row in found.tables["users"]}
    assert rows["1"]["birth_year"] == 1980
    assert rows["1"]["attributes"] == {"city": "Ulm"}
    assert (rows["2"]["birth_year"], rows["2"]["signed_up_at"], rows["2"]["attributes"]) == (None, None, {})
    assert found.reasons() == {"bad_type:birth_year": 1, "missing:user_id": 1}
