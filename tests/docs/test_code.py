"""The code that the pages print runs: Python in the order of its page, SQL on a warehouse that the pipeline made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyspark.sql import SparkSession

from recsys.config import Config
from recsys.store import Warehouse
from tests.docs.blocks import Block, blocks, delta_readers

pytestmark = pytest.mark.spark

PROGRAMS = delta_readers()
CODE = [block for block in blocks("python") if block.runs and block not in PROGRAMS]
SQL = [block for block in blocks("sql") if block.runs]
IN_DUCKDB = "run in DuckDB"

Place = Callable[[str], str]


@pytest.fixture
def place(served: tuple[Config, Warehouse], tmp_path: Path) -> Place:
    """Put folders of the test where the pages have theirs, and a small shop where they have a large one."""
    root = served[1].root

    def placed(text: str) -> str:
        folders = {"warehouse": root, "/tmp": str(tmp_path), "models": str(tmp_path / "models")}
        text = re.sub(r"(?<=[\"`])(warehouse|/tmp|models)/", lambda match: f"{folders[match[1]]}/", text)
        text = text.replace("for_events(1_000_000", "for_events(3_000")
        return re.sub(r"VERSION AS OF \d+", "VERSION AS OF 0", text)

    return placed


def log(first: str, days: int) -> pd.DataFrame:
    """Sixty customers who keep to their own half of forty articles."""
    rows = [
        (customer, f"sku-{(customer * 7 + day * 3) % 20 + 20 * (customer % 2)}", day)
        for day in range(days)
        for customer in range(60)
        if (customer + day) % 4 == 0
    ]
    frame = pd.DataFrame(rows, columns=["customer", "sku", "day"])
    frame["ts"] = pd.Timestamp(first) + pd.to_timedelta(frame["day"], unit="D")
    return frame.drop(columns="day")


def clicks(rows: int, first: int = 0) -> pd.DataFrame:
    """A click table whose label follows from the position and the article."""
    number = pd.Series(range(first, first + rows))
    return pd.DataFrame(
        {
            "article": ("a" + (number % 11).astype(str)),
            "position": (number % 5 + 1).astype(float),
            "label": ((number % 11 < 4) & (number % 5 < 3)).astype(int),
        }
    )


@pytest.fixture
def names(spark: SparkSession) -> dict[str, Any]:
    """What the pages take for granted."""
    return {
        "__name__": "page",
        "spark": spark,
        "df": log("2024-05-01", 45),
        "catalog": pd.DataFrame({"sku": [f"sku-{number}" for number in range(40)]}),
        "examples": spark.createDataFrame(clicks(600)),
        "later_examples": spark.createDataFrame(clicks(200, 600)),
        "clicks": spark.createDataFrame(clicks(600)),
        "later_clicks": spark.createDataFrame(clicks(200, 600)),
        "frame": spark.createDataFrame(clicks(50, 800)),
    }


@pytest.mark.parametrize("page", sorted({block.page for block in CODE}))
def test_python_runs(page: str, names: dict[str, Any], place: Place) -> None:
    for block in CODE:
        if block.page == page:
            exec(compile(place(block.text), str(block), "exec"), names)


@pytest.mark.parametrize("block", [block for block in SQL if block.note != IN_DUCKDB], ids=str)
def test_spark_sql_runs(block: Block, spark: SparkSession, served: tuple[Config, Warehouse], place: Place) -> None:
    session = spark.newSession()
    for view in Path(served[1].path("views.sql")).read_text(encoding="utf-8").split(";\n"):
        if view.strip():
            session.sql(view)
    for query in place(block.text).split(";\n"):
        if query.strip():
            session.sql(query).collect()


@pytest.mark.parametrize("block", [block for block in SQL if block.note == IN_DUCKDB], ids=str)
def test_duckdb_sql_runs(block: Block, served: tuple[Config, Warehouse]) -> None:
    root = f"{served[1].root}/quarantine"
    files = SubTreeFileSystem(root, LocalFileSystem())
    with duckdb.connect() as connection:
        connection.register("quarantine", DeltaTable(root).to_pyarrow_dataset(filesystem=files))
        assert connection.sql(block.text).fetchall()
