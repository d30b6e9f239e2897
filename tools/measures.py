"""Measures of source code: lengths, circles of imports, annotations and docstrings, all from the syntax tree."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | FunctionNode


@dataclass(frozen=True)
class Function:
    """A function or method, and its lines from `def` to its end without the docstring and the decorators."""

    name: str
    line: int
    length: int


def python_files(root: Path, *folders: str) -> list[Path]:
    """Return every Python file below some folders of the repository, sorted."""
    return sorted(path for folder in folders for path in (root / folder).rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name that a file is imported by.

    Examples
    --------
    >>> module_name(Path("/r/recsys/data/__init__.py"), Path("/r"))
    'recsys.data'
    """
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def percentile(values: Sequence[int], share: float) -> int:
    """Return the smallest value that at least a share of the values do not exceed (nearest rank); 0 for none.

    Examples
    --------
    >>> percentile([1, 2, 3, 4, 10], 0.9)
    10
    """
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else 0


def functions(tree: ast.Module) -> list[Function]:
    """Return every function of a module, nested ones too."""
    return [
        Function(node.name, node.lineno, _lines(node) - _docstring_lines(node))
        for node in ast.walk(tree)
        if isinstance(node, FunctionNode)
    ]


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _docstring_lines(node: FunctionNode) -> int:
    first = node.body[0]
    return _lines(first) if ast.get_docstring(node) is not None and first.lineno > node.lineno else 0


def imports(tree: ast.AST) -> set[str]:
    """Return every name that is imported, in full: at the top, within a function or under `TYPE_CHECKING` alike."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def import_graph(trees: Mapping[str, ast.AST]) -> dict[str, set[str]]:
    """Return which of some modules imports which: `from a import b` means the module `a.b`, or else a name in `a`.

    Parameters
    ----------
    trees : mapping of str to AST
        Modules by dotted name.
    """
    graph = {}
    for name, tree in trees.items():
        found = {item if item in trees else item.rpartition(".")[0] for item in imports(tree)}
        graph[name] = {other for other in found if other in trees and other != name}
    return graph


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (strongly connected components of more than one node).

    Examples
    --------
    >>> circles({"a": ["b"], "b": ["a"], "c": ["a"]})
    [['a', 'b']]
    """
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {tuple(sorted({a} | {b for b in reach[a] if a in reach.get(b, ())})) for a in graph if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def _reachable(graph: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found: set[str] = set()
    queue = list(graph[start])
    while queue:
        node = queue.pop()
        if node not in found:
            found.add(node)
            queue += graph.get(node, ())
    return found


def parameters(tree: ast.AST) -> tuple[int, int]:
    """Return how many parameters of functions are annotated, and how many there are; `self` and `cls` aside."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode):
            named = node.args
            every = [*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg]
            found += [argument for argument in every if argument is not None and argument.arg not in ("self", "cls")]
    return sum(argument.annotation is not None for argument in found), len(found)


def documented(tree: ast.Module) -> tuple[int, list[int]]:
    """Return how many public names have a docstring, and the lines of those without.

    Public are the module, and its classes, functions and methods whose name begins with no underscore; what is defined
    within a function is not.
    """
    nodes = list(_public(tree))
    bare = [getattr(node, "lineno", 1) for node in nodes if ast.get_docstring(node) is None]
    return len(nodes) - len(bare), bare


def _public(node: ast.Module | ast.ClassDef) -> Iterator[Documented]:
    if isinstance(node, ast.ClassDef) or node.body:
        yield node
    for child in node.body:
        if isinstance(child, (ast.ClassDef, FunctionNode)) and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from _public(child)
            else:
                yield child
