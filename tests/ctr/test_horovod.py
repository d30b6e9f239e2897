"""Training by horovod.spark.run on two executors, in a process and JVM of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def out() -> dict[str, Any]:
    """What one session on two executors gave: training that works, then training that fails in three ways."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ctr.two_ranks"], cwd=ROOT, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_two_ranks_learn_what_one_learns(out: dict[str, Any]) -> None:
    """Ranks compare checksums of all weights before they return."""
    assert (out["two"]["ranks"], out["one"]["ranks"]) == (2, 1)
    assert out["two"]["train_rows"] == out["one"]["train_rows"] == 6000
    for figure in ("valid_auc_raw", "test_auc_raw"):
        assert out["two"][figure] == pytest.approx(out["one"][figure], abs=0.01)
    assert out["two"]["valid_auc_popularity"] == pytest.approx(out["one"]["valid_auc_popularity"], abs=1e-12)
    assert len(out["checksum"]) == 64


def test_what_goes_wrong_ends_the_job_with_a_sentence(out: dict[str, Any]) -> None:
    assert out["dies"]["kind"] == "EnvironmentProblem"
    assert out["dies"]["error"].startswith("a training rank ended early and took the job down: ")
    assert out["short"]["kind"] == "NothingToDo"
    assert "fewer than train_ctr.min_examples" in out["short"]["error"]
    assert out["slots"]["kind"] == "EnvironmentProblem"
    assert "3 executor slots for training did not come within 4 s" in out["slots"]["error"]
