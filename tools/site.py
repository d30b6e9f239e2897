"""What the docs site takes from outside `docs/`: pages of the root, files that pages link to, the API reference.

A hook of mkdocs (`hooks` in mkdocs.yml). The reference is made at build time by walking `recsys/`, so a module that is
added, moved or removed needs no edit here. Pages keep the links that GitHub follows; this module turns them into links
of the site.
"""

from __future__ import annotations

import ast
import inspect
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel

import recsys
from tools.generate_docs import key_table

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "notebooks/README.md": "notebooks.md",
}
"""Pages outside `docs/`, and what the site calls them."""
HOME = {"README.md": "README.md"}
"""The README of the repository is for those who have found it; the site's home takes its links."""
ROOMS = {
    "data": "Contracts of tables",
    "ingest": "Ingest",
    "features": "Features",
    "retrieval": "Retrieval",
    "ctr": "Click models",
    "rerank": "Re-ranking",
    "publishing": "Publishing",
    "evaluation": "Evaluation",
    "synthetic": "The synthetic shop",
    "store": "Store",
    "pipeline": "Pipeline",
    "config": "Configuration",
}
"""Rooms of the reference in their order, with their titles; a room that is not named here comes after them."""
PLACEHOLDER = "api/"
"""What mkdocs.yml has where the reference goes."""
PROGRAMS = ("demo.py",)
"""Modules of `recsys/` that are programs, not an API."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the reference into the navigation."""
    entries = [{title: path} for path, title, _ in reference()]
    _replace(config.nav or [], entries)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`, the files that any page links to, and the reference."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    for path, _, text in reference():
        files.append(File.generated(config, path, content=text))
    for source in sorted(_linked()):
        files.append(File.generated(config, f"files/{source}", abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    here = page.file.src_uri
    source = next((source for source, name in PAGES.items() if name == here), f"docs/{here}")
    return _LINK.sub(lambda match: _site_link(match[1], source, here) + (match[2] or ""), markdown)


def reference() -> list[tuple[str, str, str]]:
    """Return the pages of the API reference: path, title, text."""
    pages = [("api/index.md", "The front door", _front_door())]
    names = [path.name for path in sorted((ROOT / "recsys").iterdir()) if (path / "__init__.py").is_file()]
    for room in [*ROOMS, *(name for name in names if name not in ROOMS)]:
        if room in names:
            title = ROOMS.get(room, room.capitalize())
            pages.append((f"api/{room}.md", title, _page(title, _modules(ROOT / "recsys" / room))))
    top = sorted(path for path in (ROOT / "recsys").glob("*.py") if path.name not in PROGRAMS and _is_public(path))
    pages.append(("api/foundations.md", "Foundations", _page("Foundations", top)))
    return pages


def _front_door() -> str:
    """List what `import recsys` offers: what each name is, its settings, and where the room describes it."""
    names = [name for name in dir(recsys) if not name.startswith("_")]
    lines = ["# The front door", "", *_paragraphs(recsys)[:1], ""]
    for name in names:
        found = getattr(recsys, name)
        place = f"{found.__module__}.{found.__qualname__}"
        room = found.__module__.split(".")[1]
        page = f"{room}.md" if (ROOT / "recsys" / room).is_dir() else "foundations.md"
        lines += [
            f"## recsys.{name}",
            "",
            *_paragraphs(found)[:1],
            "",
            f"Described in full as [`{place}`]({page}#{place}).",
            "",
        ]
        if isinstance(found, type) and issubclass(found, BaseModel):
            lines += [*key_table(found, None), ""]
    return "\n".join(lines)


def _paragraphs(found: Any) -> list[str]:
    return (inspect.getdoc(found) or "").split("\n\n")


def _page(title: str, modules: list[Path]) -> str:
    directives = [f"::: {_dotted(module)}\n" for module in modules]
    return "\n".join([f"# {title}", "", *directives])


def _modules(folder: Path) -> list[Path]:
    """Modules of a room that have something to show, the package itself first."""
    found = sorted(folder.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name))
    return [path for path in found if _is_public(path)]


def _is_public(path: Path) -> bool:
    """Tell whether a module has a public name of its own with a docstring; packages that only re-export have none."""
    if path.name.startswith("_") and path.name != "__init__.py":
        return False
    body = ast.parse(path.read_text(encoding="utf-8")).body
    named = (node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    return any(not node.name.startswith("_") and ast.get_docstring(node) for node in named)


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _linked() -> set[str]:
    """Files of the repository that pages link to and that are no pages of the site."""
    sources = [*PAGES, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    found = set()
    for source in sources:
        for match in _LINK.finditer((ROOT / source).read_text(encoding="utf-8")):
            target = _target(match[1], source)
            if not target.startswith("docs/") and target not in {**PAGES, **HOME} and (ROOT / target).is_file():
                found.add(target)
    return found


def _target(link: str, source: str) -> str:
    """The path from the root that a link on a page of the repository leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _site_link(link: str, source: str, here: str) -> str:
    target = _target(link, source)
    if target in ("docs", "."):
        name = "README.md"
    elif target.startswith("docs/"):
        name = target.removeprefix("docs/")
    else:
        name = {**PAGES, **HOME}.get(target, f"files/{target}")
    return posixpath.relpath(name, posixpath.dirname(here) or ".")


def _replace(nav: list[Any], entries: list[dict[str, str]]) -> None:
    """Replace the placeholder of the reference, wherever it stands."""
    for entry in nav:
        for title, value in entry.items():
            if value == PLACEHOLDER:
                entry[title] = entries
            elif isinstance(value, list):
                _replace(value, entries)
