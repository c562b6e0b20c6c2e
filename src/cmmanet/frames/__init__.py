"""Frames read in place from archives and folders, by an index."""
