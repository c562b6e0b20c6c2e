"""Figures as PNG files, drawn without any global state of matplotlib."""
