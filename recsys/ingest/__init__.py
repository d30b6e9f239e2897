"""Cleaning: maps raw rows onto the contract, names what breaks it, finds repeats, cuts sessions, flags robots."""
