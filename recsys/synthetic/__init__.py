"""A synthetic shop whose truth is known: raw logs as upstream systems write them, with planted dirt.

Nothing here is part of the line from logs to recommendations; the line reads what this writes, except
``truth/``.
"""

from __future__ import annotations

from recsys.synthetic.config import ShopConfig
from recsys.synthetic.generate import generate
from recsys.synthetic.manifest import Manifest

__all__ = ["Manifest", "ShopConfig", "generate"]
