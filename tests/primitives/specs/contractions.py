"""Rows of `primitives/contractions.py`."""
ROWS = []
