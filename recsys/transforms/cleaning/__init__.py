"""Cleaning: raw rows onto the contract, what breaks it named, repeats found, sessions cut, robots flagged."""

from recsys.transforms.cleaning.flow import Cleaned, Origin, Rules, cleaned
from recsys.transforms.cleaning.rules import REASONS, Bounds

__all__ = ["REASONS", "Bounds", "Cleaned", "Origin", "Rules", "cleaned"]
