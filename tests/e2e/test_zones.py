"""The pipeline on a machine that is not in UTC gives the tables of one that is, column by column.

Clocks change within the shop's days, in New York before `as_of` and in Berlin after it. Part of `make test-crash`;
what `make test` compares across zones is the run on executors, in `test_submit`.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from recsys import data
from recsys.config import Config
from recsys.store import Warehouse
from tests.support.programs import command_of
from tests.support.shops import Shop, shop_config
from tests.support.warehouses import Digests, digests, written_outside

Served = tuple[Config, Warehouse]

pytestmark = pytest.mark.crash

# Statistics are text with a time zone too; most tests leave them out.
STATISTICS = [f"spark.conf.spark.databricks.delta.stats.{what}=true" for what in ("collect", "skipping")]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
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
    assert written_outside(made, began, datetime.now(UTC)) == set()


def _runs(warehouse: Warehouse) -> set[tuple[str, int, str, str]]:
    """What the runs say of themselves, but for when and where."""
    written = F.to_json(F.array_sort(F.map_entries("rows")))
    rows = warehouse.read(data.RUNS).select("job", F.unix_micros("as_of"), "status", written).collect()
    return {(job, instant, status, tables) for job, instant, status, tables in rows}
