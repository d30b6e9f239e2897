"""The bounds of the house, and the measures behind them on literal source text."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

import pytest

from tools import house, measures, touches

pytestmark = pytest.mark.fast


def parsed(text: str) -> ast.Module:
    return ast.parse(textwrap.dedent(text))


def test_the_house_keeps_the_bounds() -> None:
    assert {figure.name: figure.broken for figure in house.measure() if figure.broken} == {}


def test_a_function_is_measured_from_def_to_end_without_docstring_and_decorators() -> None:
    tree = parsed('''
        @cached
        @other(
            1
        )
        def outer(a,
                  b):
            """Say what it does.

            At length.
            """
            # A comment counts.
            def inner(): "short"

            return inner
    ''')
    assert [(one.name, one.line, one.length) for one in measures.functions(tree)] == [("outer", 6, 6), ("inner", 13, 1)]


@pytest.mark.parametrize(("values", "share", "expected"), [([], 0.9, 0), ([5], 0.9, 5), (list(range(1, 11)), 0.9, 9)])
def test_percentiles_are_values_that_occur(values: list[int], share: float, expected: int) -> None:
    assert measures.percentile(values, share) == expected


def test_imports_are_found_wherever_they_stand() -> None:
    tree = parsed("""
        import a.b
        if TYPE_CHECKING:
            from c import d, e
        def late():
            from f.g import h
    """)
    assert measures.imports(tree) == {"a.b", "c.d", "c.e", "f.g.h"}


def test_a_name_of_a_package_is_its_module_where_there_is_one() -> None:
    trees = {"p": parsed("from p import a"), "p.a": parsed("from p import b, VALUE"), "p.b": parsed("import os")}
    assert measures.import_graph(trees) == {"p": {"p.a"}, "p.a": {"p", "p.b"}, "p.b": set()}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, []),
        ({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}, [["a", "b", "c"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_circles(graph: dict[str, list[str]], expected: list[list[str]]) -> None:
    assert measures.circles(graph) == expected


def test_parameters_and_docstrings_are_counted() -> None:
    tree = parsed('''
        """Module."""
        class Public:
            def method(self, a: int, b, *rest: str, **more): ...
            def _private(self): ...
        class _Hidden:
            def method(self): ...
        def function() -> None:
            """Document."""
            def inner(): ...
    ''')
    assert measures.parameters(tree) == (2, 4)
    assert measures.documented(tree) == (2, [3, 4])


FILES = {
    "recsys/retrieval/registry.py": 'BUILT_IN: Final = (\n    "recsys.retrieval.als.retriever.Als",\n)\n',
    "recsys/retrieval/als/__init__.py": "",
    "recsys/retrieval/als/retriever.py": 'class Als:\n    kind: str = "als"\n    name: str = Field("als", title="n")\n',
    "recsys/retrieval/fusion.py": "def fuse(): ...\n",
    "recsys/ctr/networks/registry.py": (
        'NETWORKS = {\n    "deepfm": "recsys.ctr.networks.deepfm:DeepFM",\n}\nDEFAULT = "deepfm"\n'
    ),
    "recsys/ctr/networks/deepfm.py": 'class DeepFM:\n    kind: str = "deepfm"\n',
    "recsys/pipeline/graph.py": "def ordered(): ...\n",
    "jobs/rank.py": '@job("rank", config=("rank.k", "retrievers"))\ndef run(context): ...\n',
    "jobs/retrievers.py": '@job("retrievers", config=("rank",))\ndef run(context): ...\n',
    "setup.py": "",
}


def made(root: Path, **changes: str) -> dict[str, touches.Addition]:
    """A repository of the files above, some of them changed (`__` for a slash); what its parts touch, by name."""
    for name, text in {**FILES, **{f"{key.replace('__', '/')}.py": text for key, text in changes.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return {one.name: one for one in touches.additions(root)}


def test_what_an_addition_touches(tmp_path: Path) -> None:
    assert {name: one.touches for name, one in made(tmp_path).items()} == {
        "Als": "one folder and one line",
        "DeepFM": "one file and one line",
        "rank": "one file",
        "retrievers": "one file",
    }
    assert all(one.touches == one.ideal for one in touches.additions(tmp_path))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"recsys__retrieval__fusion": 'x = ranks["als"]'}, "recsys/retrieval/fusion.py:1 the text 'als'"),
        ({"recsys__ctr__inputs": 'INPUTS = ("als_rank",)'}, "recsys/ctr/inputs.py:1 the text 'als_rank'"),
        (
            {"recsys__retrieval__fusion": "from recsys.retrieval.als import retriever"},
            "recsys/retrieval/fusion.py:1 imports recsys.retrieval.als.retriever",
        ),
        ({"recsys__front": "\nrecsys.Als()"}, "recsys/front.py:2 the class Als"),
        ({"recsys__retrieval__alsatian": 'x = "also als"'}, None),
        ({"tests__test_als": 'x = "als"'}, None),
    ],
)
def test_whatever_names_a_retriever_is_found(tmp_path: Path, change: dict[str, str], place: str | None) -> None:
    assert made(tmp_path, **change)["Als"].places == ([place] if place else [])


def test_whatever_names_a_job_is_found_but_a_column_or_a_config_key_is_not_a_job(tmp_path: Path) -> None:
    changes = {"recsys__pipeline__graph": 'ORDER = ("rank",)', "recsys__rerank__lists": 'F.col("rank")'}
    found = made(tmp_path, **changes)["rank"]
    assert found.places == ["recsys/pipeline/graph.py:1 the text 'rank'"]
    assert found.touches == "one file and 1 place in 1 other file"


def test_a_repository_without_registries_has_no_algorithms(tmp_path: Path) -> None:
    assert touches.additions(tmp_path) == []


def test_it_exits_with_1_where_a_bound_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [house.Figure("files", {"p90": 10}), house.Figure("functions", {"max": 61}, ["a.py:1 long has 61 lines"])]
    monkeypatch.setattr(house, "measure", lambda: figures[:1])
    assert house.main([]) == 0
    monkeypatch.setattr(house, "measure", lambda: figures)
    assert house.main([]) == 1
    assert "a.py:1 long has 61 lines" in capsys.readouterr().out
    assert house.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["figures"][1]["values"] == {"max": 61}
