"""Batch recommendations on Spark: raw event logs in, ranked and explained lists out, Delta tables in between."""

__version__ = "0.1.0"
