"""Prepares docstrings for the docs site: an extension of griffe, named in mkdocs.yml.

Docstrings here are plain text with code in backticks and, now and then, a doctest. Markdown would take the prompt of
a doctest for a quotation, and brackets in its code for links.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Put doctests outside an `Examples` section into blocks of code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring and "\nExamples\n---" not in obj.docstring.value:
            obj.docstring.value = _DOCTEST.sub(lambda match: f"```pycon\n{match[0]}\n```", obj.docstring.value)
