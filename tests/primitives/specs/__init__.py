"""Spec rows, a family a file."""
