"""Popularity among people of like profiles, drawn towards everybody's where few of them say anything."""
