"""Popularity: what most people touched lately, overall and by segment."""
