"""Fitted models: saved, loaded, applied."""
