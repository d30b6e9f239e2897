"""The shop and its clean run are those of the end-to-end tests."""

from tests.e2e.conftest import digest_of_served, served, shop

__all__ = ["digest_of_served", "served", "shop"]
