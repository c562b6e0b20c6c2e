"""Embedding tracklets and ranking them."""
