"""Measure the house: what an addition touches, how long files and functions are, whether imports form circles.

`python -m tools.house` prints the figures for `recsys/` and `jobs/`, and what breaks a bound; it exits with 1 if
anything does. `--json` prints the same as one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools import measures, touches

ROOT = Path(__file__).parents[1]
FILE_P90, FUNCTION_P90, FUNCTION_MAX = 250, 26, 60
SHARED = tuple(f"recsys.spark.{name}" for name in ("share", "executor_slots", "worker_python", "dynamic_allocation"))
"""What logic may use of the session's module, as in tests/architecture/test_layers.py: no import of its room."""


@dataclass(frozen=True)
class Figure:
    """One measure.

    Attributes
    ----------
    name : str
        What is measured.
    values : dict of str to number
        The figures.
    broken : list of str
        What breaks the bound, one place per entry; empty if it holds.
    """

    name: str
    values: Mapping[str, float | str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Code:
    """The modules that are measured: path below the root, text and syntax tree, by dotted name."""

    paths: dict[str, Path]
    texts: dict[str, str]
    trees: dict[str, ast.Module]

    @classmethod
    def read(cls, root: Path, *folders: str) -> Code:
        """Parse every Python file below some folders."""
        paths = {measures.module_name(path, root): path for path in measures.python_files(root, *folders)}
        texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
        trees = {name: ast.parse(text) for name, text in texts.items()}
        return cls({name: path.relative_to(root) for name, path in paths.items()}, texts, trees)


def additions(root: Path) -> list[Figure]:
    """Return what each registered algorithm and each job touches."""
    return [
        Figure(f"{one.kind} {one.name}", {"touches": one.touches}, [] if one.touches == one.ideal else one.places)
        for one in touches.additions(root)
    ]


def file_lengths(code: Code) -> Figure:
    """Return the lengths of files, in lines."""
    lengths = {name: len(text.splitlines()) for name, text in code.texts.items()}
    longest, every = max(lengths, key=lambda name: lengths[name]), list(lengths.values())
    p90 = measures.percentile(every, 0.9)
    return Figure(
        "files",
        {
            "count": len(every),
            "median": measures.percentile(every, 0.5),
            "p90": p90,
            "max": lengths[longest],
            "longest": str(code.paths[longest]),
        },
        [f"p90 is {p90} lines, more than {FILE_P90}"] if p90 > FILE_P90 else [],
    )


def function_lengths(code: Code) -> Figure:
    """Return the lengths of functions, in lines from `def` to the end without docstring and decorators."""
    found = [(code.paths[name], one) for name, tree in code.trees.items() for one in measures.functions(tree)]
    lengths = [one.length for _, one in found]
    p90 = measures.percentile(lengths, 0.9)
    broken = [f"p90 is {p90} lines, more than {FUNCTION_P90}"] if p90 > FUNCTION_P90 else []
    long = sorted((one.length, f"{path}:{one.line} {one.name}") for path, one in found if one.length > FUNCTION_MAX)
    broken += [f"{place} has {length} lines, more than {FUNCTION_MAX}" for length, place in reversed(long)]
    figures = {"count": len(lengths), "p50": measures.percentile(lengths, 0.5), "p90": p90, "max": max(lengths)}
    return Figure("functions", figures, broken)


def import_circles(code: Code) -> list[Figure]:
    """Return circles of imports between modules, and between rooms (packages right below `recsys`, and `jobs`)."""
    graph = measures.import_graph(code.trees)
    rooms: dict[str, set[str]] = {}
    for name, others in graph.items():
        if not measures.imports(code.trees[name]).isdisjoint(SHARED):
            others = others - {"recsys.spark"}
        rooms.setdefault(_room(name), set()).update(_room(other) for other in others)
    rooms.pop("recsys", None)  # the front door looks into every room
    inner = {room: {other for other in others if other != room} for room, others in rooms.items()}
    return [
        Figure(f"circles of {what}", {"count": len(found)}, [" <-> ".join(group) for group in found])
        for what, found in (("modules", measures.circles(graph)), ("rooms", measures.circles(inner)))
    ]


def _room(name: str) -> str:
    parts = name.split(".")
    return "jobs" if parts[0] == "jobs" else ".".join(parts[:2])


def annotations(code: Code) -> Figure:
    """Return the share of parameters that are annotated."""
    counted = [measures.parameters(tree) for tree in code.trees.values()]
    done, every = sum(done for done, _ in counted), sum(every for _, every in counted)
    bare = [str(code.paths[name]) for name, (done, every) in zip(code.trees, counted, strict=True) if done < every]
    return Figure("parameters annotated", {"percent": _percent(done, every)}, bare)


def docstrings(code: Code) -> Figure:
    """Return the share of public names that have a docstring."""
    counted = {name: measures.documented(tree) for name, tree in code.trees.items()}
    done = sum(done for done, _ in counted.values())
    bare = [f"{code.paths[name]}:{line}" for name, (_, lines) in counted.items() for line in lines]
    return Figure("public names documented", {"percent": _percent(done, done + len(bare))}, bare)


def tests_ratio(root: Path, code: Code) -> Figure:
    """Return the lines of tests for each line of code."""
    tests = Code.read(root, "tests")
    lines, tested = (sum(len(text.splitlines()) for text in one.texts.values()) for one in (code, tests))
    return Figure("tests / code", {"ratio": round(tested / lines, 2)})


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 100.0


def measure(root: Path = ROOT) -> list[Figure]:
    """Return every figure of the house."""
    code = Code.read(root, "recsys", "jobs")
    return [
        *additions(root),
        file_lengths(code),
        function_lengths(code),
        *import_circles(code),
        annotations(code),
        docstrings(code),
        tests_ratio(root, code),
    ]


def as_text(figures: Sequence[Figure]) -> str:
    """Lay the figures out for people; what breaks a bound is below its figure."""
    width = max(len(figure.name) for figure in figures)
    lines = [
        "recsys/ and jobs/. The length of a function is its lines from `def` to its end without docstring and",
        f"decorators. Bounds: files p90 <= {FILE_P90}, functions p90 <= {FUNCTION_P90} and none over {FUNCTION_MAX},",
        "no circles, everything annotated and documented, nothing outside its own place names an algorithm or a job.",
        "",
    ]
    for figure in figures:
        values = ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
            for name, value in figure.values.items()
        )
        lines.append(f"{'!' if figure.broken else ' '} {figure.name:<{width}}  {values}")
        lines += [f"      {place}" for place in figure.broken]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return 1 if a bound is broken."""
    flags = argparse.ArgumentParser("python -m tools.house", description=__doc__.partition("\n")[0])
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    figures = measure()
    broken = any(figure.broken for figure in figures)
    if flags.parse_args(argv).json:
        print(json.dumps({"ok": not broken, "figures": [asdict(figure) for figure in figures]}, indent=2))
    else:
        print(as_text(figures))
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
