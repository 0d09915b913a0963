"""Composable derivatives of plain NumPy code."""
