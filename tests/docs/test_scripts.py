"""The programs that the pages print for readers without a JVM end cleanly, every time.

`deltalake` hands pyarrow a file system written in Python. Arrow's threads may still call it while the interpreter
shuts down, and then the process aborts after it has printed its answer (exit code 134). With pyarrow's own file system
nothing is left to call.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from tests.docs.blocks import Block, delta_readers

pytestmark = pytest.mark.fast

RUNS = 5
"""Without `filesystem=` about half of all runs abort, so that five clean ones in a row are no accident."""
DAY = datetime(2024, 6, 1, tzinfo=UTC)
WAREHOUSES = ("/data/warehouse", "/tmp/mine", "warehouse")
"""Where the pages say that the tables lie."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the tables that the pages read, a few thousand rows each."""
    root = tmp_path_factory.mktemp("pages") / "warehouse"
    count = 4000
    lists = {
        "run_date": [date(2024, 6, 1) if number // 40 % 2 else date(2018, 9, 1) for number in range(count)],
        "user_id": [str(4700 + number % 40) for number in range(count)],
        "rank": pa.array([number // 40 + 1 for number in range(count)], pa.int32()),
        "title": [f"Item {number}" for number in range(count)],
        "score": [1 / (1 + number) for number in range(count)],
        "reason_code": ["popular"] * count,
        "reason": ["Popular right now"] * count,
    }
    events = {
        "event_id": [str(number) for number in range(count)],
        "event_type": ["view", "purchase"] * (count // 2),
        "event_time": pa.array([DAY + timedelta(minutes=number) for number in range(count)], pa.timestamp("us", "UTC")),
    }
    write_deltalake(root / "recommendations", pa.table(lists), partition_by=["run_date"])
    write_deltalake(root / "events", pa.table(events))
    return root


def test_every_page_that_reads_delta_is_found() -> None:
    assert {"README.md", "docs/sql.md", "docs/your-data.md"} <= {block.page for block in delta_readers()}


@pytest.mark.parametrize("block", delta_readers(), ids=str)
def test_it_ends_cleanly(block: Block, tables: Path, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    text = block.text
    for place in WAREHOUSES:
        text = text.replace(f'"{place}/', f'"{tables}/')
    script.write_text(text, encoding="utf-8")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(_run, [script] * RUNS))
    assert [run.returncode for run in done] == [0] * RUNS, done[0].stderr
    assert all("│" in run.stdout and " 0 rows" not in run.stdout for run in done), done[0].stdout


def _run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
