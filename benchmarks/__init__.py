"""Measurements: every claim of speed beside its peers, in one run."""
