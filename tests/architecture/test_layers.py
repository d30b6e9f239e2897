"""The layer rules of docs/architecture.md, by walking the syntax tree of every module. Nothing is imported."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tools.measures import circles, import_graph

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
ROOMS = (
    ("recsys.secrets",),
    ("recsys.errors", "recsys.progress", "recsys.arrow", "recsys.sharing"),
    ("recsys.settings",),
    ("recsys.failures", "recsys.environment"),
    ("recsys.quick",),
    ("recsys.spark",),
    ("recsys.data",),
    ("recsys.ingest",),
    ("recsys.checks",),
    ("recsys.features",),
    ("recsys.retrieval",),
    ("recsys.ctr",),
    ("recsys.rerank",),
    ("recsys.publishing",),
    ("recsys.evaluation", "recsys.synthetic", "recsys.library"),
    ("recsys.tuning",),
    ("recsys.config",),
    ("recsys.store",),
    ("recsys.pipeline",),
    ("recsys.demo",),
    ("jobs", "conf"),
)
"""From the bottom up: a room imports from rooms above it in this list alone, and from itself."""
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
LOGIC = tuple(
    f"recsys.{name}"
    for name in [
        "ingest",
        "checks",
        "features",
        "retrieval",
        "ctr",
        "rerank",
        "publishing",
        "evaluation",
        "tuning",
        "synthetic",
    ]
)
SHARED = ("recsys.spark.share",)
"""What logic may use of the session's module: an object for all executors."""
LAUNCHER = "recsys.ctr.training.launcher"
CLUSTER_FACTS = tuple(f"recsys.spark.{name}" for name in ("executor_slots", "worker_python", "dynamic_allocation"))
"""What the launcher may ask about the cluster besides."""
CLUSTER_ONLY = ("_jvm", "_jsc", "sparkContext", "SparkContext", "_jsparkSession")
TRAINING_SIDE = ("recsys/ctr/inputs/spec.py", "recsys/ctr/inputs/layout.py", "recsys/ctr/training/loop.py")
PURE = ("recsys/errors.py", "recsys/progress.py", "recsys/secrets.py")
PROGRAMS = (ROOT / "recsys" / "synthetic" / "__main__.py",)
"""Modules of a logic room that run as a program, and so may ask `recsys.spark` for a session."""


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    """Every module or name that a file imports, at the top, within a function or for types alone, in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _logic() -> list[Path]:
    return [path for path in _files("recsys") if _module(path).startswith(LOGIC) and path not in PROGRAMS]


def _room(name: str) -> str:
    parts = name.split(".")
    return parts[0] if parts[0] in ("jobs", "conf") else ".".join(parts[:2])


@pytest.mark.parametrize("path", _files("recsys", "jobs"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    mine = _room(_module(path))
    if mine == "recsys":  # the front door looks into every room
        return
    assert mine in LEVEL, f"{path}: room {mine} has no place in ROOMS; name it in docs/architecture.md too"
    others = {name for name in _imports(path) if _room(name) in LEVEL and _room(name) != mine}
    up = {name for name in others if LEVEL[_room(name)] >= LEVEL[mine]}
    assert not up, f"{path} imports {sorted(up)}, which lie above it"


@pytest.mark.parametrize("path", _logic(), ids=lambda path: str(path.relative_to(ROOT)))
def test_logic_takes_little_from_the_session_module(path: Path) -> None:
    allowed = (*SHARED, *CLUSTER_FACTS) if _module(path) == LAUNCHER else SHARED
    taken = {name for name in _imports(path) if name.startswith("recsys.spark")} - set(allowed)
    assert not taken, f"{path} imports {sorted(taken)}; take frames and values by keyword instead"


def test_modules_form_no_circle() -> None:
    trees = {_module(path): ast.parse(path.read_text(encoding="utf-8")) for path in _files("recsys")}
    assert circles(import_graph(trees)) == []


def test_jobs_never_import_each_other() -> None:
    for path in _files("jobs"):
        others = {other for other in _imports(path) if other.split(".")[0] in ("jobs", "recsys_jobs")}
        assert not others, f"{path} imports {sorted(others)}"


def test_the_bottom_is_standard_library_only() -> None:
    for name in PURE:
        imports = {other for other in _imports(ROOT / name) if not other.startswith("recsys.secrets.")}
        foreign = {other.split(".")[0] for other in imports} - set(sys.stdlib_module_names)
        assert not foreign - {""}, f"{name} imports {sorted(foreign)}"


def test_only_the_ranker_imports_tensorflow() -> None:
    allowed = tuple(ROOT / "recsys" / "ctr" / room for room in ("networks", "training", "serving"))
    for path in _files("recsys"):
        if path.is_relative_to(allowed[0]) or path.is_relative_to(allowed[1]) or path.is_relative_to(allowed[2]):
            continue
        heavy = {other for other in _imports(path) if other.split(".")[0] in ("tensorflow", "keras", "horovod")}
        assert not heavy, f"{path} imports {sorted(heavy)}"


def test_training_never_imports_pyspark() -> None:
    """Transitively: a rank must start without a JVM."""
    seen: set[str] = set()
    queue = [ROOT / name for name in TRAINING_SIDE]
    while queue:
        path = queue.pop()
        imports = _imports(path)
        spark = {other for other in imports if other.split(".")[0] in ("pyspark", "delta")}
        assert not spark, f"{path} imports {sorted(spark)} and is used by a training rank"
        for other in imports - seen:
            seen.add(other)
            for name in (other, other.rpartition(".")[0]):
                file = ROOT / (name.replace(".", "/") + ".py")
                if name.startswith("recsys.") and file.is_file():
                    queue.append(file)


def test_only_recsys_spark_builds_a_session() -> None:
    for path in _files("recsys", "jobs"):
        if path != ROOT / "recsys" / "spark.py":
            assert "SparkSession.builder" not in path.read_text(encoding="utf-8"), f"{path} builds a session"


def test_only_store_and_session_touch_the_jvm() -> None:
    """Every stage but training is to run on Spark Connect, which has no JVM to reach into."""
    for path in _files("recsys", "jobs"):
        if path.is_relative_to(ROOT / "recsys" / "store") or path == ROOT / "recsys" / "spark.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & set(CLUSTER_ONLY), f"{path} uses {sorted(names & set(CLUSTER_ONLY))}"


def test_jobs_hold_no_sql_and_no_columns() -> None:
    for path in _files("jobs"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "F" not in names, f"{path} builds columns; move that to a transform"
        calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not calls & {"sql", "expr", "selectExpr"}, f"{path} holds SQL; move that to a transform"
