"""Notebooks are valid, checked in without outputs, and run from the first cell to the last."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from nbclient import NotebookClient

from tests.conftest import QUICK_JVM

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 25
EVENTS = 12_000
SECONDS_PER_CELL = 900

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.fast
def test_there_is_one() -> None:
    assert NOTEBOOKS


@pytest.mark.fast
@every_notebook
def test_it_is_valid(path: Path) -> None:
    nbformat.validate(read(path), relax_add_props=False)


@pytest.mark.fast
@every_notebook
def test_outputs_are_stripped(path: Path) -> None:
    notebook = read(path)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert cell.metadata == {}, f"cell {cell.id} carries metadata"
        if cell.cell_type == "code":
            assert cell.outputs == [], f"cell {cell.id} has outputs; clear them before you commit"
            assert cell.execution_count is None, f"cell {cell.id} has a count; clear outputs before you commit"


@pytest.mark.fast
@every_notebook
def test_cells_are_small_and_bound_to_no_machine(path: Path) -> None:
    for cell in read(path).cells:
        lines = cell.source.splitlines()
        assert 0 < len(lines) <= LONGEST_CELL, f"cell {cell.id} has {len(lines)} lines"
        assert not re.search(r"(/home/|/Users/|/root/|C:\\)", cell.source), f"cell {cell.id} names a machine's path"


@pytest.mark.fast
@every_notebook
def test_it_is_listed(path: Path) -> None:
    assert f"]({path.name})" in (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a kernel that talks to a JVM of its own, and the folder that it runs in."""
    for name, value in {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JDK_JAVA_OPTIONS": QUICK_JVM,
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }.items():
        monkeypatch.setenv(name, value)
    # A kernel that inherits a gateway would talk to the JVM of this process.
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    (work := tmp_path / "elsewhere").mkdir()
    return work


@pytest.mark.notebook
@pytest.mark.timeout(1800)
def test_library_runs(kernel: Path) -> None:
    done = executed(ROOT / "notebooks" / "02_library.ipynb", kernel)
    assert pictures(done) == {"plot"}
    assert all(lists(done, cell) for cell in ("frame", "fit", "items", "evaluate", "save"))
    assert not list(kernel.iterdir()), "the notebook wrote beside itself"


@pytest.mark.notebook
@pytest.mark.timeout(1800)
def test_quick_start_runs(kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, work = tmp_path / "shop", kernel
    for name, value in (("EVENTS", str(EVENTS)), ("FOLDER", str(folder)), ("PROFILE", "local")):
        monkeypatch.setenv(f"RECSYS_{name}", value)
    done = executed(ROOT / "notebooks" / "01_quick_start.ipynb", work)

    assert pictures(done) == {"popularity", "plot"}
    assert all(lists(done, cell) for cell in ("quarantine", "candidates", "auc", "figures", "user", "recommendations"))
    assert not list(work.iterdir()), "the notebook wrote beside itself"
    published = DeltaTable(str(folder / f"warehouse-{EVENTS}" / "recommendations")).to_pyarrow_table()
    per_user = published.group_by("user_id").aggregate(
        [("rank", "max"), ("rank", "count"), ("item_id", "count_distinct")]
    )
    assert per_user.num_rows > 0
    for column in ("rank_count", "item_id_count_distinct"):
        assert pc.all(pc.equal(per_user["rank_max"], pc.cast(per_user[column], "int32"))).as_py()


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder of its own, with this interpreter, and return it with its outputs."""
    client = NotebookClient(
        read(path),
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def pictures(notebook: nbformat.NotebookNode) -> set[str]:
    """Ids of the cells that drew something."""
    return {
        cell.id
        for cell in notebook.cells
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))
    }


def lists(notebook: nbformat.NotebookNode, cell_id: str) -> bool:
    """Tell whether a cell showed a table with at least one row."""
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    shown = [output["data"].get("text/html", "") for output in cell.outputs if "data" in output]
    return any("<td>" in html for html in shown)
