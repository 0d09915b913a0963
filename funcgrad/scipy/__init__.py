"""SciPy's functions for traced arrays: `funcgrad.scipy.special`."""

from funcgrad.scipy import special

__all__ = ["special"]
