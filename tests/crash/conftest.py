"""The shop and its clean run are those of the end-to-end tests."""

from tests.e2e.conftest import served, shop

__all__ = ["served", "shop"]
