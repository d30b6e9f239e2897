"""The pipeline on a machine that is not in UTC gives the tables of one that is, column by column.

Clocks change within the shop's days, in New York before `as_of` and in Berlin after it. Berlin is part of `make test`,
the two others of `make test-crash`.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config
from recsys.store import Warehouse
from recsys.store.catalog import all_tables
from tests.support.programs import command_of
from tests.support.shops import Shop, shop_config
from tests.support.warehouses import Digests, digests

Served = tuple[Config, Warehouse]

ZONES = (
    pytest.param("Europe/Berlin", marks=pytest.mark.e2e),
    pytest.param("America/New_York", marks=pytest.mark.crash),
    pytest.param("Asia/Kathmandu", marks=pytest.mark.crash),
)
# Statistics are text with a time zone too; most tests leave them out.
STATISTICS = [f"spark.conf.spark.databricks.delta.stats.{what}=true" for what in ("collect", "skipping")]
WRITTEN_AT = ("started_at", "heartbeat_at", "finished_at")
"""Of `runs`, which has no volatile columns, because all of it tells of the run."""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("zone", ZONES)
def test_another_time_zone_changes_no_table(
    served: Served, digest_of_served: Digests, shop: Shop, tmp_path: Path, zone: str
) -> None:
    began = datetime.now(UTC)
    command = [*command_of("pipeline", shop, tmp_path / "warehouse"), *(f"--set={pair}" for pair in STATISTICS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": zone})
    assert done.returncode == 0, done.stderr[-4000:]
    made = Warehouse(served[1].spark, shop_config(shop.raw, tmp_path / "warehouse").warehouse)
    found = digests(made)
    assert {name for name in digest_of_served if digest_of_served[name] != found.get(name)} == set()
    assert _runs(made) == _runs(served[1])
    assert _written_outside(made, began, datetime.now(UTC)) == set()


def _runs(warehouse: Warehouse) -> set[tuple[str, int, str, str]]:
    """What the runs say of themselves, but for when and where."""
    written = F.to_json(F.array_sort(F.map_entries("rows")))
    rows = warehouse.read(data.RUNS).select("job", F.unix_micros("as_of"), "status", written).collect()
    return {(job, instant, status, tables) for job, instant, status, tables in rows}


def _written_outside(warehouse: Warehouse, began: datetime, ended: datetime) -> set[str]:
    """Columns that tell when a row was written, and in some row hold another time than that of the run."""
    found = set()
    for table in (table for table in all_tables() if warehouse.exists(table)):
        for name in [name for name in (*table.volatile, *WRITTEN_AT) if name in table.column_names]:
            if table.column(name).type == "timestamp":
                outside = ~F.col(name).between(F.lit(began - timedelta(seconds=1)), F.lit(ended))
                found.update(f"{table.name}.{name}" for _ in warehouse.read(table).where(outside).limit(1).collect())
    return found
