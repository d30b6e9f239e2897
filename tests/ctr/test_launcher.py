"""The seam around the cluster, without a cluster."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from recsys.ctr.base import TrainOutcome, TrainTask
from recsys.ctr.ranker import make_launcher
from recsys.ctr.settings import TrainCtrSettings
from recsys.ctr.training import launcher as seam
from recsys.ctr.training.launcher import HorovodLauncher, LocalLauncher, Tail, pin_device
from recsys.errors import DataError, EnvironmentProblem

pytestmark = pytest.mark.fast

TASK = TrainTask((), (), (), "{}", TrainCtrSettings())


class Fixed(HorovodLauncher):
    """A launcher whose ranks return what the test says."""

    def __init__(self, *results: Any) -> None:
        super().__init__(ranks=2)
        self.results = list(results)

    def _results(self, task: TrainTask) -> list[Any]:
        return self.results


def test_rank_0_hands_back_the_weights() -> None:
    first = TrainOutcome(0, 2, "same", weights={"a": np.ones(1)})
    assert Fixed(first, TrainOutcome(1, 2, "same")).run(TASK) is first


def test_different_weights_are_an_error() -> None:
    with pytest.raises(EnvironmentProblem, match="different weights"):
        Fixed(TrainOutcome(0, 2, "one"), TrainOutcome(1, 2, "two")).run(TASK)


def test_what_the_ranks_agree_on_is_raised_here() -> None:
    with pytest.raises(DataError, match="too few"):
        Fixed(DataError("too few"), DataError("too few")).run(TASK)


def test_a_rank_without_a_result() -> None:
    with pytest.raises(EnvironmentProblem, match="returned nothing"):
        Fixed(None, None).run(TASK)


def test_horovod_needs_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark import SparkContext

    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    with pytest.raises(EnvironmentProblem, match="needs a running Spark session"):
        HorovodLauncher().run(TASK)


def test_explanations() -> None:
    launcher = HorovodLauncher(start_timeout_seconds=9)
    assert "3 executor slots for training did not come within 9 s" in launcher._explain(
        Exception("Timed out waiting for Spark tasks"), 3, Tail()
    )
    tail = Tail()
    tail.write("[1]<stderr>:Value")
    tail.write("Error: broken\n[1]<stderr>:  raise SomeError: no\nat the end\n")
    assert launcher._explain(Exception("exit 1"), 2, tail).endswith("took the job down: ValueError: broken")
    assert launcher._explain(Exception("exit\n 1"), 2, Tail()).endswith(
        "took the job down: its log on the executor says why (exit 1)"
    )


def test_a_rank_sees_the_gpu_it_was_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    pin_device(["2", "3"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
    pin_device([])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_devices_come_from_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    import horovod.spark.task

    monkeypatch.setattr(horovod.spark.task, "get_available_devices", lambda: [1])
    assert seam.handed_out() == ["1"]
    monkeypatch.setattr(horovod.spark.task, "get_available_devices", lambda: None)
    assert seam.handed_out() == []


def test_the_settings_choose_the_launcher() -> None:
    assert isinstance(make_launcher(TrainCtrSettings()), LocalLauncher)
    assert isinstance(make_launcher(TrainCtrSettings(launcher="horovod")), HorovodLauncher)
