"""Embedding tracklets, ranking them, and how sure the numbers are."""
