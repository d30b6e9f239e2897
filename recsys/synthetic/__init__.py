"""A synthetic shop whose truth is known: raw logs as upstream systems write them, with planted dirt.

None of this is part of the pipeline, which reads what is written here, except ``truth/``.
"""

from __future__ import annotations

from recsys.synthetic.config import ShopConfig
from recsys.synthetic.generate import generate
from recsys.synthetic.manifest import Manifest

__all__ = ["Manifest", "ShopConfig", "generate"]
