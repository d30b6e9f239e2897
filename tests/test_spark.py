"""The session: no more calls to the JVM than it must send, and a word where its parts are in different time zones."""

from __future__ import annotations

from pathlib import Path

import py4j.clientserver
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from recsys import spark as sessions
from recsys.environment import Environment

pytestmark = [pytest.mark.spark, pytest.mark.fast]


@pytest.fixture
def asked(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commands that Python sends to the JVM, but for those that let go of what it no longer needs."""
    commands: list[str] = []
    send = py4j.clientserver.ClientServerConnection.send_command

    def noting(self: object, command: str, *args: object) -> object:
        if not command.startswith("m\n"):
            commands.append(command)
        return send(self, command, *args)

    F.col("warm")
    monkeypatch.setattr(py4j.clientserver.ClientServerConnection, "send_command", noting)
    return commands


def test_an_operation_on_columns_costs_one_call(asked: list[str]) -> None:
    one, other = F.col("one"), F.col("other")
    asked.clear()
    one + other
    assert len(asked) == 1, asked


def test_every_task_runs_in_the_zone_of_its_jvm(spark: SparkSession) -> None:
    zone = str(spark._jvm.java.util.TimeZone.getDefault().getID())  # type: ignore[union-attr]
    assert sessions.executor_zones(spark) == {sessions.driver_zone(spark)}
    assert sessions.driver_zone(spark) in {zone, sessions.UTC_ZONE}


def test_zones_that_differ_are_named() -> None:
    said = sessions.different_zones("UTC", {"UTC", "Europe/Berlin", "Asia/Kathmandu"})
    assert said is not None
    assert said.startswith("the driver's JVM is in the time zone UTC, those of executors in Asia/Kathmandu, Europe/B")
    assert sessions.different_zones("UTC", {"UTC"}) is None


@pytest.mark.parametrize(("profile", "asked"), [("local", 0), ("cluster", 1)])
def test_only_a_new_session_with_executors_is_asked(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str, asked: int
) -> None:
    environment = Environment.model_validate({"warehouse": {"path": str(tmp_path)}, "spark": {"profile": profile}})
    sessions_asked: list[SparkSession] = []
    monkeypatch.setattr(sessions, "_note_zones", sessions_asked.append)
    sessions.build_session(environment, "running")
    assert sessions_asked == []
    monkeypatch.setattr(sessions.SparkSession, "getActiveSession", lambda: None)
    monkeypatch.setattr(sessions, "_start", lambda *_: spark)
    sessions.build_session(environment, "new")
    assert len(sessions_asked) == asked
