"""Vectors of users and items: exact search, and what any pair of them has in common."""
