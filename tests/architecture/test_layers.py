"""The layer rules of docs/architecture.md, by walking the syntax tree of every module. Nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
LAYERS = {
    "recsys": 0,
    "recsys.errors": 0,
    "recsys.progress": 0,
    "recsys.config": 1,
    "recsys.tables": 1,
    "recsys.transforms": 2,
    "recsys.retrieval": 2,
    "recsys.ranking": 2,
    "recsys.evaluation": 2,
    "recsys.synthetic": 2,
    "recsys.io": 2,
    "recsys.runner": 2,
    "recsys.spark": 2,
    "recsys.demo": 3,
    "jobs": 3,
    "conf": 3,
}
LOGIC = ("recsys.transforms", "recsys.retrieval", "recsys.ranking", "recsys.evaluation", "recsys.synthetic")
EDGE = ("recsys.io", "recsys.runner", "recsys.spark")
TRAINING_SIDE = (
    "spec",
    "model",
    "data",
    "train",
    "optimizer",
    "metrics",
    "calibration",
    "bundle",
    "layout",
    "comm",
)
PURE_LAYER_0 = ("recsys/errors.py", "recsys/progress.py", "recsys/__init__.py")
# The one module of a logic package that is a program, and so may build a session.
PROGRAMS = ("recsys/synthetic/__main__.py",)


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or within a function, as absolute names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            base = node.module or ""
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names if (ROOT / base.replace(".", "/")).is_dir()}
    return found


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] in ("jobs", "conf") else ".".join(parts[:2])


def _ours(imports: set[str]) -> set[str]:
    packages = {_package(name) for name in imports if name.split(".")[0] in ("recsys", "jobs")}
    return {package for package in packages if package in LAYERS}


@pytest.mark.parametrize("path", _files("recsys", "jobs"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    mine = _package(_module(path))
    assert mine in LAYERS, f"{path}: package {mine} has no layer; name it in docs/architecture.md and here"
    up = {other for other in _ours(_imports(path)) if LAYERS[other] > LAYERS[mine]}
    assert not up, f"{path} imports {sorted(up)}, which lie above it"


def _logic_files() -> list[Path]:
    programs = {ROOT / name for name in PROGRAMS}
    return [path for path in _files("recsys") if _module(path).startswith(LOGIC) and path not in programs]


@pytest.mark.parametrize("path", _logic_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_logic_never_imports_the_edge(path: Path) -> None:
    edge = {other for other in _imports(path) if other.startswith(EDGE)}
    assert not edge, f"{path} imports {sorted(edge)}; take frames and values by keyword instead"
    configs = {other for other in _imports(path) if other in ("recsys.config.Config", "recsys.config.root")}
    assert not configs, f"{path} imports the Config; take values by keyword instead"


def test_jobs_never_import_each_other() -> None:
    for path in _files("jobs"):
        others = {other for other in _imports(path) if other.split(".")[0] in ("jobs", "recsys_jobs")}
        assert not others, f"{path} imports {sorted(others)}"


def test_layer_0_is_standard_library_only() -> None:
    import sys

    for name in PURE_LAYER_0:
        foreign = {other.split(".")[0] for other in _imports(ROOT / name)} - set(sys.stdlib_module_names)
        assert not foreign - {""}, f"{name} imports {sorted(foreign)}"


def test_transforms_never_import_tensorflow() -> None:
    for path in _files("recsys/transforms", "recsys/retrieval"):
        heavy = {other for other in _imports(path) if other.split(".")[0] in ("tensorflow", "keras", "horovod")}
        assert not heavy, f"{path} imports {sorted(heavy)}"


def test_training_side_never_imports_pyspark() -> None:
    """Transitively: a rank must start without a JVM."""
    seen: set[str] = set()
    queue = [ROOT / "recsys" / "ranking" / f"{name}.py" for name in TRAINING_SIDE]
    queue = [path for path in queue if path.is_file()]
    assert queue, "the training side is not where this test looks for it"
    while queue:
        path = queue.pop()
        imports = _imports(path)
        spark = {other for other in imports if other.split(".")[0] in ("pyspark", "delta")}
        assert not spark, f"{path} imports {sorted(spark)} and is used by a training rank"
        for other in imports - seen:
            seen.add(other)
            file = ROOT / (other.replace(".", "/") + ".py")
            if other.startswith("recsys.") and file.is_file():
                queue.append(file)


def test_only_recsys_spark_builds_a_session() -> None:
    for path in _files("recsys", "jobs"):
        if path.name == "spark.py" and path.parent.name == "recsys":
            continue
        text = path.read_text(encoding="utf-8")
        assert "SparkSession.builder" not in text, f"{path} builds a session"


def test_jobs_hold_no_sql_and_no_columns() -> None:
    for path in _files("jobs"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert "F" not in names, f"{path} builds columns; move that to a transform"
        calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not calls & {"sql", "expr", "selectExpr"}, f"{path} holds SQL; move that to a transform"
