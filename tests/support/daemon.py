"""The process from which Spark forks its Python workers in tests: it has already imported what each of them needs.

Idle workers end after a minute, so tests start dozens; these imports would be most of their work.
"""

import sys

import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
import pyspark.sql.pandas.types  # noqa: F401
from pyspark.daemon import manager

# Keras imports it for wrappers that are not used here: a sixth of TensorFlow's start.
sys.modules["sklearn"] = None  # type: ignore[assignment]

if __name__ == "__main__":
    manager()
