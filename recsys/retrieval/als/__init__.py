"""Alternating least squares: factors of users and items, searched exactly."""
