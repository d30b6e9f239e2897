"""The shared session sends no more calls to the JVM than it must."""

from __future__ import annotations

import py4j.clientserver
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

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
