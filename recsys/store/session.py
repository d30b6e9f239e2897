"""Settings of a session that hold for one block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession


@contextmanager
def set_within(spark: SparkSession, values: Mapping[str, str], *, required: bool = True) -> Iterator[None]:
    """Set keys of a session until the block ends.

    Parameters
    ----------
    required : bool
        Whether it is an error if the platform keeps one of them to itself.
    """
    refused = () if required else (AnalysisException,)
    before = {key: spark.conf.get(key, None) for key in values}
    for key, value in values.items():
        with suppress(*refused):
            spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, earlier in before.items():
            with suppress(*refused):
                if earlier is None:
                    spark.conf.unset(key)
                else:
                    spark.conf.set(key, earlier)
