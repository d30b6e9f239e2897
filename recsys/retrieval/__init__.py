"""Retrievers: which of all the items are worth ranking for a user."""
