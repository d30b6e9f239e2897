"""A small shop as written: recounted in plain Python, and compared across numbers of partitions."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from recsys.synthetic import Manifest, ShopConfig, generate
from recsys.synthetic.__main__ import describe, main

pytestmark = pytest.mark.spark

CFG = ShopConfig.for_events(5_000, days=12, seed=11, dirt=4.0, bot_event_share=0.1)
EVENT_TYPES = {"click", "page_view", "add_to_cart", "order", "refund"}

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    out = tmp_path_factory.mktemp("shop")
    return out, generate(spark, CFG, str(out), partitions=1)


def lines(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the day folder and text of each line below a folder."""
    for path in sorted(folder.rglob("part-*.gz")):
        for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines():
            yield path.parent.name, line


def catalog(out: Path) -> list[dict[str, str]]:
    """Read the catalog."""
    rows: list[dict[str, str]] = []
    for path in sorted((out / "catalog.csv").glob("part-*")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def parsed(line: str) -> Raw | None:
    """Parse a line, None if it is broken."""
    try:
        found: Raw = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found


def time_of(text: str) -> datetime | None:
    """Parse an ISO time, None if it is not one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def event_defect(line: str) -> str | None:
    """Name what is wrong with a single event line, by the rules of the format."""
    row = parsed(line)
    if row is None:
        return "broken_json"
    when = time_of(row["ts"])
    item = row.get("sku")
    checks = {
        "missing_user": "uid" not in row and "sid" not in row,
        "missing_item": item is None,
        "bad_time": when is None,
        "future_time": when is not None and when.date() >= CFG.end,
        "ancient_time": when is not None and when.year == 1970,
        "unknown_event": row["event"] not in EVENT_TYPES,
        "bad_number": isinstance(row["price"], str),
        "negative_price": not isinstance(row["price"], str) and row["price"] < 0,
        "bad_quantity": row.get("qty", 1) < 1,
        "bad_encoding": item is not None and "\ufffd" in item,
        "blank_id": item is not None and not item.strip(),
        "overlong_id": item is not None and len(item) > 64,
    }
    wrong = [name for name, bad in checks.items() if bad]
    assert len(wrong) <= 1, (wrong, line)
    return wrong[0] if wrong else None


def clean_events(out: Path) -> tuple[list[Raw], Counter[str]]:
    """Return the clean rows by the rules of the format, and the defects counted."""
    found: Counter[str] = Counter()
    kept: dict[str, tuple[str, Raw]] = {}
    for day, line in sorted(lines(out / "events"), key=lambda pair: pair[1].split('"ts":')[-1]):
        defect = event_defect(line)
        row = parsed(line)
        if defect is None and row is not None:
            assert day == f"dt={row['ts'][:10]}"
            first = kept.setdefault(row["event_id"], (line, row))
            if first[1] is not row:
                defect = "duplicate_row" if first[0] == line else "duplicate_key"
        if defect:
            found[defect] += 1
    return [row for _, row in kept.values()], found


def test_the_manifest_counts_what_the_event_files_hold(shop: tuple[Path, Manifest]) -> None:
    out, manifest = shop
    rows, defects = clean_events(out)
    assert dict(defects) == {name: n for name, n in manifest.defects["events"].items() if n}
    assert len(defects) == len(manifest.defects["events"]), "every kind of dirt is there"
    assert manifest.clean_rows["events"] == len(rows)
    assert manifest.rows["events"] == len(rows) + defects.total() == sum(1 for _ in lines(out / "events"))
    assert Counter(row["event"] for row in rows) == manifest.event_types
    assert manifest.anonymous_events == sum("uid" not in row for row in rows)
    orphans = sum(row["sku"].startswith("SKU-ORPHAN") for row in rows)
    assert manifest.informational == {"unknown_item": orphans}
    assert manifest.rows["events"] == pytest.approx(CFG.n_events * 1.06, rel=0.15)


def test_the_manifest_counts_what_the_list_files_hold(shop: tuple[Path, Manifest]) -> None:
    out, manifest = shop
    found: Counter[str] = Counter()
    seen: set[str] = set()
    shown = 0
    for day, line in lines(out / "impressions"):
        row = parsed(line)
        if row is None:
            found["broken_json"] += 1
        elif line in seen:
            found["duplicate_row"] += 1
        elif "list_id" not in row:
            found["missing_list_id"] += 1
        elif isinstance(row["shown_at"], str):
            found["bad_time"] += 1
        else:
            assert day == f"dt={datetime.utcfromtimestamp(row['shown_at'] / 1000).date()}"
            assert len(row["items"]) == len(set(row["items"])) == len(row["prices"]) == len(row["propensities"])
            assert all(0 < p <= 1 for p in row["propensities"])
            shown += len(row["items"])
        seen.add(line)
    assert dict(found) == manifest.defects["impressions"]
    assert shown == manifest.rows["shown_items"]


def test_the_manifest_counts_catalog_and_profiles(shop: tuple[Path, Manifest]) -> None:
    out, manifest = shop
    rows = catalog(out)
    good = [row for row in rows if row["sku"] and not row["list_price"].startswith("-")]
    latest = {row["sku"]: row for row in sorted(good, key=lambda row: row["updated_at"])}
    assert len(rows) == manifest.rows["catalog"]
    assert len(latest) == manifest.clean_rows["catalog"] == CFG.n_items
    assert not [row for row in latest.values() if row["title"].endswith("(old)")]
    assert manifest.defects["catalog"]["duplicate_key"] == len(good) - len(latest) > 0
    assert manifest.defects["catalog"]["missing_id"] == sum(not row["sku"] for row in rows) > 0
    assert any("," in row["title"] for row in rows)
    assert any('"' in row["title"] for row in rows)
    assert manifest.cold["items"] == sum(row["added_at"] >= "2024-01-01" for row in latest.values()) > 0

    profiles = [json.loads(line) for _, line in lines(out / "profiles")]
    assert len(profiles) == manifest.rows["profiles"]
    assert manifest.defects["profiles"]["missing_id"] == sum("customer_id" not in row for row in profiles) > 0


def test_clicks_name_a_shown_item_and_agree_with_the_truth(shop: tuple[Path, Manifest]) -> None:
    out, manifest = shop
    truth = pq.read_table(out / "truth").to_pylist()
    assert len(truth) == manifest.rows["truth"]
    clicked = {(row["list_id"], row["item_id"], row["position"]) for row in truth if row["clicked"]}
    rows, _ = clean_events(out)
    events = {
        (row["list_id"], row["sku"], row["pos"])
        for row in rows
        if row["event"] == "click" and not row["sku"].startswith("SKU-ORPHAN")
    }
    assert events <= clicked
    assert len(events) > 0.9 * len(clicked), "the rest was spoiled"
    listed = {}
    for _, line in lines(out / "impressions"):
        row = parsed(line) or {}
        listed[row.get("list_id")] = row.get("items", [])
    known = [key for key in clicked if key[0] in listed]
    assert len(known) > 0.9 * len(clicked)
    assert all(listed[place][position - 1] == item for place, item, position in known)
    # A position can only lower the probability of a click; robots click at random.
    people = [row for row in truth if not row["is_bot"]]
    assert people and all(0 < row["p_click_true"] <= row["p_relevance"] + 1e-6 for row in people)


def test_refunds_come_later_and_sessions_name_their_steps(shop: tuple[Path, Manifest]) -> None:
    rows, _ = clean_events(shop[0])
    sessions: dict[str, list[Raw]] = {}
    for row in rows:
        if row["event"] == "refund":
            assert "uid" in row
            assert "sid" not in row
        else:
            sessions.setdefault(row["sid"], []).append(row)
    for session in sessions.values():
        steps = sorted(session, key=lambda row: row["step"])
        times = [datetime.fromisoformat(row["ts"]) for row in steps]
        assert times == sorted(times)
        assert times[-1] - times[0] < timedelta(hours=2)
        assert len({row.get("uid") for row in session}) == 1


def test_the_truth_beats_popularity_which_beats_chance(shop: tuple[Path, Manifest]) -> None:
    auc = shop[1].auc
    assert 0.53 < auc["popularity"] < auc["relevance"] < auc["truth"]
    assert 0.74 < auc["truth"] < 0.86
    assert 0.05 < shop[1].ctr < 0.2


def test_the_manifest_on_disk_is_the_one_returned(shop: tuple[Path, Manifest]) -> None:
    out, manifest = shop
    assert Manifest.load(str(out)) == manifest
    assert manifest.config == CFG
    assert manifest.bots["events"] > 0
    assert "AUC on shown items" in describe(manifest, str(out))


def test_a_finished_shop_is_not_overwritten(shop: tuple[Path, Manifest], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(shop[0]), "--events", "5000"]) == 2
    assert "--force" in capsys.readouterr().err


def test_partitions_change_nothing(spark: SparkSession, shop: tuple[Path, Manifest], tmp_path: Path) -> None:
    out, manifest = shop
    before = spark.conf.get("spark.sql.shuffle.partitions")
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    try:
        again = generate(spark, CFG, str(tmp_path), partitions=5)
        assert spark.conf.get("spark.sql.session.timeZone") == "America/New_York"
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", str(before))
        spark.conf.set("spark.sql.session.timeZone", str(zone))
    assert again == manifest
    for kind in ("events", "impressions", "profiles"):
        assert sorted(lines(out / kind)) == sorted(lines(tmp_path / kind)), kind
    assert sorted(map(str, catalog(out))) == sorted(map(str, catalog(tmp_path)))
    keys = [("list_id", "ascending"), ("position", "ascending")]
    first, second = (pq.read_table(folder / "truth").sort_by(keys) for folder in (out, tmp_path))
    assert first.equals(second)
