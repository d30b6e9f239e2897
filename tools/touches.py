"""What adding a retriever, a network or a job touches: the places outside its own file or folder that name it.

A registry is a module whose constants hold dotted names of classes, one per line; a class has a `kind` and may have a
default `name`. A job is a file in `jobs/` with a function under `@job("name", …)`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path

from tools.measures import imports, python_files

REGISTRIES = {"retriever": "recsys/retrieval/registry.py", "network": "recsys/ctr/networks/registry.py"}
CODE = ("recsys", "jobs")
CLASS = re.compile(r"recsys(\.\w+)+[.:][A-Z]\w*")
"""A dotted name of a class, as registries list them."""
FEATURES = ("score", "rank")
"""What a retriever's columns among the ranker's inputs end in, after its name."""
JOB_READERS = ("recsys/pipeline", "recsys/store", "jobs", "setup.py")
"""Where a text can mean a job; elsewhere `rank` or `index` is a column or a section of the config."""


PAST = ("recsys/config/renamed.py",)
"""Lists what the config of an earlier version called things: what is added now has no entry there."""


@dataclass(frozen=True)
class Addition:
    """An algorithm or a job that is there now, seen as an addition.

    Attributes
    ----------
    own : str
        Its own file or folder, relative to the repository.
    lines : list of str
        Where it is registered, as `file:line`.
    places : list of str
        Everything else that names it, as `file:line what`.
    """

    kind: str
    name: str
    own: str
    lines: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    @property
    def touches(self) -> str:
        """In words: `one folder and one line`."""
        parts = ["one file" if self.own.endswith(".py") else "one folder"]
        if self.lines:
            parts.append("one line" if len(self.lines) == 1 else f"{len(self.lines)} lines")
        if self.places:
            files = {place.partition(":")[0] for place in self.places}
            parts.append(f"{_counted(self.places, 'place')} in {_counted(files, 'other file')}")
        return " and ".join(parts)

    @property
    def ideal(self) -> str:
        """What it should touch."""
        return {"retriever": "one folder and one line", "network": "one file and one line"}.get(self.kind, "one file")


def _counted(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def additions(root: Path) -> list[Addition]:
    """Return every registered algorithm and every job of a repository."""
    return [
        *(one for kind, registry in REGISTRIES.items() for one in _algorithms(root, kind, root / registry)),
        *_jobs(root),
    ]


def _algorithms(root: Path, kind: str, registry: Path) -> Iterator[Addition]:
    if not registry.is_file():
        return
    for dotted, line in registered(ast.parse(registry.read_text(encoding="utf-8"))):
        module, _, class_name = dotted.replace(":", ".").rpartition(".")
        own = _own(root, registry.parent, module)
        texts = _names(own, class_name)
        if kind == "retriever":
            texts |= {f"{name}_{feature}" for name in texts for feature in FEATURES}
        found = Addition(kind, class_name, str(own.relative_to(root)), [f"{registry.relative_to(root)}:{line}"])
        prefix = ".".join(own.relative_to(root).with_suffix("").parts)
        for path, tree in _others(root, own, CODE):
            skip = {line, *_default_lines(tree)} if path == registry else set()
            found.places.extend(_places(path.relative_to(root), tree, texts, class_name, prefix, skip))
        yield found


def registered(tree: ast.Module) -> list[tuple[str, int]]:
    """Return the dotted names of classes in a registry's constants, each with its line."""
    constants = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    texts = [text for node in constants for text in ast.walk(node) if _is_text(text)]
    return sorted(
        ((text.value, text.lineno) for text in texts if CLASS.fullmatch(text.value)), key=lambda found: found[1]
    )


CHOSEN = ("DEFAULT", "FACTORIZATION")
"""Names in a registry by which the project itself chooses an entry."""


def _default_lines(tree: ast.Module) -> set[int]:
    """Return the lines of a registry that choose its default, which an addition leaves alone."""
    return {
        node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign) and any(getattr(target, "id", None) in CHOSEN for target in node.targets)
    }


def _own(root: Path, room: Path, module: str) -> Path:
    """Return the folder below the room that holds a module, or its file where it stands in the room itself."""
    first = module.removeprefix(".".join(room.relative_to(root).parts) + ".").partition(".")[0]
    folder = room / first
    return folder if folder.is_dir() else room / f"{first}.py"


def _names(own: Path, class_name: str) -> set[str]:
    """Return the texts that stand for an algorithm: the defaults of the fields `kind` and `name` of its class."""
    for path in sorted(own.rglob("*.py")) if own.is_dir() else [own]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == class_name:
                return defaults(node)
    return set()


def defaults(node: ast.ClassDef) -> set[str]:
    """Return the texts that the fields `kind` and `name` of a class have by default.

    Examples
    --------
    >>> text = 'class Als: kind: Literal["als"] = "als"; name: str = Field("first", description="d")'
    >>> sorted(defaults(ast.parse(text).body[0]))
    ['als', 'first']
    """
    found = set()
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            value = child.value
            if isinstance(value, ast.Call):
                value = value.args[0] if value.args else None
            if child.target.id in ("kind", "name") and _is_text(value):
                found.add(value.value)
    return found


def _jobs(root: Path) -> Iterator[Addition]:
    for file in sorted((root / "jobs").glob("*.py")):
        for name in declared_jobs(ast.parse(file.read_text(encoding="utf-8"))):
            found = Addition("job", name, str(file.relative_to(root)))
            for path, tree in _others(root, file, JOB_READERS):
                prefix = f"jobs.{file.stem}"
                found.places.extend(_places(path.relative_to(root), tree, {name}, None, prefix, _in_decorators(tree)))
            yield found


def declared_jobs(tree: ast.Module) -> list[str]:
    """Return the names of the jobs that a module declares with `@job("name", …)`."""
    calls = [call for node in tree.body if isinstance(node, ast.FunctionDef) for call in node.decorator_list]
    return [
        call.args[0].value
        for call in calls
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "job"
        and call.args
        and _is_text(call.args[0])
    ]


def _in_decorators(tree: ast.Module) -> set[int]:
    """Return the lines of decorators: the keys of the config that another job names there are no jobs."""
    decorators = [call for node in ast.walk(tree) for call in getattr(node, "decorator_list", ())]
    return {line for call in decorators for line in range(call.lineno, (call.end_lineno or call.lineno) + 1)}


def _others(root: Path, own: Path, where: tuple[str, ...]) -> Iterator[tuple[Path, ast.Module]]:
    files = [root / name for name in where if (root / name).is_file()]
    files += python_files(root, *(name for name in where if (root / name).is_dir()))
    for path in files:
        past = path.relative_to(root).as_posix() in PAST
        if path != own and not path.is_relative_to(own) and not past:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _places(
    path: Path, tree: ast.Module, texts: set[str], class_name: str | None, module: str, skip: set[int]
) -> Iterator[str]:
    """Return where a file names something: a text, the class, or an import from its module."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if line in skip:
            continue
        if _is_text(node) and node.value in texts:
            yield f"{path}:{line} the text {node.value!r}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            taken = {name for name in imports(node) if f"{name}.".startswith(f"{module}.")}
            yield from (f"{path}:{line} imports {name}" for name in sorted(taken))
        elif class_name and (getattr(node, "id", None) == class_name or getattr(node, "attr", None) == class_name):
            yield f"{path}:{line} the class {class_name}"


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
