"""The pipeline and its jobs as programs of their own, for tests that kill them or start them in another environment."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

from tests.conftest import COVERAGE, QUICK_SPARK, QUICK_SQL
from tests.support.shops import ROOT, SMALL, Shop


def command_of(program: str, shop: Shop, warehouse: Path, *, as_of: datetime | None = None) -> list[str]:
    """Write the command that runs a file of `jobs/` on a shop, for the shop's instant or another one."""
    overrides = [f"input.root={shop.raw}", f"warehouse={warehouse}", "spark.driver_memory=2g", *SMALL]
    quick = {"spark.driver.extraJavaOptions": QUICK_SPARK, f"spark.executorEnv.{COVERAGE}": "", **QUICK_SQL}
    overrides.append(f"spark.conf={json.dumps(quick)}")
    return [
        sys.executable,
        str(ROOT / "jobs" / f"{program}.py"),
        f"--config={ROOT / 'conf/local.yaml'}",
        f"--dataset={ROOT / 'conf/datasets/synthetic-shop.yaml'}",
        f"--as-of={as_of or shop.as_of:%Y-%m-%dT%H:%M:%SZ}",
        *(part for override in overrides for part in ("--set", override)),
    ]
