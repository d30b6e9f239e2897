"""Mappings: what is accepted, and what is refused before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from recsys.config import load_config, load_dataset
from recsys.errors import ConfigError
from recsys.ingest.dataset import Dataset, require_same_ids
from recsys.ingest.mappable import mappable_columns
from tests.ingest.support import EVENT_COLUMNS, dataset, source

pytestmark = pytest.mark.fast

ITEMS = {"name": "goods", "table": "items", "path": "goods.csv", "format": "csv", "columns": {"item_id": "sku"}}
LISTS = {
    "name": "lists",
    "table": "impressions",
    "path": "lists.json",
    "format": "json",
    "columns": {"list_id": "list", "user_id": "user", "shown_at": "time", "item_id": "items", "price": "prices"},
    "explode": ["item_id", "price"],
}


def without(column: str) -> dict[str, Any]:
    return {name: value for name, value in EVENT_COLUMNS.items() if name != column}


def test_a_mapping_survives_being_written_and_read_again() -> None:
    mapping = dataset(
        source(attributes=["city"], where="price > 0", null_values=["NA"]), ITEMS | {"latest_by": "updated"}, LISTS
    )
    assert Dataset.model_validate(mapping.model_dump()) == mapping
    assert Dataset.model_validate(mapping.model_dump(mode="json")) == mapping


def test_short_forms() -> None:
    mapping = dataset(source(attributes=["city"])).sources[0]
    assert mapping.format.type == "json"
    assert mapping.columns["user_id"].column == "user"
    assert mapping.attributes["city"].column == "city"


def test_source_columns_are_those_of_every_part() -> None:
    one = dataset(
        source(
            columns={**without("price"), "price": {"expr": "cents / 100"}},
            attributes={"place": {"expr": "concat(city, land)"}},
            where="shop = 'a'",
        )
    ).sources[0]
    assert one.source_columns() == {"id", "user", "item", "type", "time", "qty", "session", "step"} | {
        "cents",
        "city",
        "land",
        "shop",
    }


def test_lists_with_a_separator_are_text() -> None:
    joined = {**LISTS, "columns": {**LISTS["columns"], "price": {"column": "prices", "separator": "|"}}}
    assert dataset(LISTS).sources[0].list_columns() == {"items", "prices"}
    assert dataset(joined).sources[0].list_columns() == {"items"}


def test_derived_columns_cannot_be_mapped() -> None:
    assert "event_date" not in mappable_columns("events")
    assert "is_bot" not in mappable_columns("impressions")
    assert "valid_to" not in mappable_columns("items")


REFUSED: list[tuple[str, dict[str, Any] | list[dict[str, Any]], str]] = [
    ("no time", source(columns=without("event_time")), "events needs event_time"),
    ("no user", source(columns={"item_id": "i", "event_type": "t", "event_time": "x"}), "user_id (or session_id)"),
    ("unknown column", source(columns={**EVENT_COLUMNS, "prize": "p"}), "did you mean price?"),
    ("derived column", source(columns={**EVENT_COLUMNS, "is_bot": "b"}), "takes no column is_bot"),
    ("two origins", source(columns={**EVENT_COLUMNS, "price": {"column": "p", "literal": 1}}), "exactly one of"),
    ("no origin", source(columns={**EVENT_COLUMNS, "price": {}}), "exactly one of"),
    (
        "format of no time",
        source(columns={**EVENT_COLUMNS, "price": {"column": "p", "format": "iso"}}),
        "is not a time",
    ),
    ("zone", source(columns={**EVENT_COLUMNS, "event_time": {"column": "t", "timezone": "Mars/Base"}}), "Mars/Base"),
    ("impure", source(columns={**EVENT_COLUMNS, "price": {"expr": "rand()"}}), "function rand is not on the list"),
    ("impure where", source(where="event_time < current_timestamp()"), "current_timestamp differs from run to run"),
    ("event type", source(event_types={"v": "viewed"}), "maps to viewed"),
    ("both", source(event_types={"v": "view"}, ignore_event_types=["v"]), "both mapped and ignored"),
    ("literal type", source(columns={**EVENT_COLUMNS, "event_type": {"literal": "buy"}}), "'buy' is none of"),
    ("types of items", ITEMS | {"event_types": {"a": "view"}}, "event types are for events"),
    ("latest events", source(latest_by="time"), "observations and latest_by are for items and users"),
    (
        "format of the latest",
        ITEMS | {"latest_by": {"column": "changed", "format": "dd.MM.yyyy"}},
        "latest_by compares values as they are",
    ),
    ("no position", {**LISTS, "explode": []}, "position (or explode)"),
    ("explode what", {**LISTS, "explode": ["item_id", "device"]}, "device can't hold lists"),
    ("explode unmapped", {**LISTS, "explode": ["item_id", "propensity"]}, "which `columns` does not map"),
    ("explode no item", {**LISTS, "explode": ["price"]}, "must name item_id"),
    ("explode items", ITEMS | {"explode": ["item_id"]}, "explode is for events and impressions"),
    ("separator", source(columns={**EVENT_COLUMNS, "item_id": {"column": "i", "separator": "|"}}), "not in explode"),
    ("headless", source(format={"type": "csv", "header": False}), "needs `names`"),
    ("names and header", source(format={"type": "csv", "names": ["a"]}), "`header: false`"),
    ("names twice", source(format={"type": "csv", "header": False, "names": ["a", "a"]}), "holds a name twice"),
    ("encoding", source(format={"type": "csv", "encoding": "latin-99"}), "'latin-99' is unknown"),
    ("format", source(format="xml"), "format.type"),
    ("same name", [source(), source()], "two sources have the same name"),
    ("extra key", source(sheet="a"), "sheet"),
    ("table", source(table="orders"), "table"),
]


@pytest.mark.parametrize(("sources", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(sources: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        dataset(*(sources if isinstance(sources, list) else [sources]))
    assert says in str(caught.value)


@pytest.mark.parametrize("file", sorted(Path("conf/datasets").glob("*.yaml")), ids=lambda file: file.stem)
def test_mappings_that_come_with_the_project(file: Path) -> None:
    mapping = load_dataset(file)
    assert mapping.name == file.stem
    plain = load_config(dataset=file).model_dump()
    plain["retrievers"] = {retriever["name"]: retriever for retriever in plain["retrievers"]}
    for section, values in mapping.settings.items():
        assert set(values) <= set(plain[section])


WITHOUT_ID = source(columns=without("event_id"))


@pytest.mark.parametrize(
    "now",
    [
        dataset({**WITHOUT_ID, "path": "elsewhere", "where": "qty > 0", "ignore_event_types": ["login"]}),
        dataset({**WITHOUT_ID, "columns": EVENT_COLUMNS}),
        dataset({**WITHOUT_ID, "name": "new"}),
    ],
    ids=["other rows", "an id of its own", "a new source"],
)
def test_a_mapping_may_change_as_long_as_ids_stay(now: Dataset) -> None:
    require_same_ids(now, dataset(WITHOUT_ID).model_dump(mode="json"))
    require_same_ids(now, {})


@pytest.mark.parametrize(
    "now",
    [
        dataset({**WITHOUT_ID, "columns": {**without("event_id"), "device": "d"}}),
        dataset({**WITHOUT_ID, "attributes": ["campaign"]}),
        dataset({**WITHOUT_ID, "null_values": ["NA"]}),
        dataset(WITHOUT_ID, timezone="Europe/Berlin"),
    ],
    ids=["a column", "an attribute", "null values", "a zone"],
)
def test_a_mapping_that_gives_events_other_ids_is_refused(now: Dataset) -> None:
    with pytest.raises(ConfigError, match="cleaned under another mapping before"):
        require_same_ids(now, dataset(WITHOUT_ID).model_dump(mode="json"))


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("event_types: {1: view}", "event_types has the key 1, which YAML reads as a number; put it in quotes: '1'"),
        ("event_types: {on: view}", "event_types has the key true, which YAML reads as yes or no; put it in quotes"),
        ("event_types: {~: view}", "event_types has the key none, which YAML reads as nothing"),
        ("null_values: [-1]", "null_values.0 is -1, which YAML reads as a number; put it in quotes: '-1'"),
        ("null_values: [no]", "null_values.0 is false, which YAML reads as yes or no; put it in quotes"),
        ("ignore_event_types: [2024-05-01]", "ignore_event_types.0 is 2024-05-01, which YAML reads as a date"),
        ("latest_by: {literal: 2024-05-01}", "latest_by.literal is 2024-05-01, which YAML reads as a date"),
        ("attributes: {0: a}", "attributes has the key 0, which YAML reads as a number"),
    ],
)
def test_words_that_yaml_takes_for_something_else(tmp_path: Path, part: str, says: str) -> None:
    mapping = yaml.safe_dump({"name": "shop", "sources": [{**source(), **yaml.safe_load(part)}]})
    (tmp_path / "m.yaml").write_text(mapping, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_dataset(tmp_path / "m.yaml")
    assert f"sources.0.{says}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_numbers_and_dates_of_settings_are_settings() -> None:
    settings = yaml.safe_load("{clean: {earliest: 2020-01-01, quarantine_limit: 0.1, latest: ~}}")
    assert dataset(settings=settings).settings == settings
