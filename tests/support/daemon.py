"""Where Spark forks its Python workers from in tests: a process that has already imported what each of them needs.

Workers that idle for a minute end, and tests start dozens, for which these imports are most of the work.
"""

import sys

import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
import pyspark.sql.pandas.types  # noqa: F401
from pyspark.daemon import manager

# Keras looks for it, for wrappers that nothing here uses: a sixth of TensorFlow's start.
sys.modules["sklearn"] = None  # type: ignore[assignment]

if __name__ == "__main__":
    manager()
