"""Floor 7: derivatives that prove themselves. Checks, laws, strategies for hypothesis, kinks, and where NaN came from.

`check_grads`, `kinks`, `why_nan` and `debug_nans` need NumPy alone; `derivative_laws` and `strategies` need hypothesis.
"""

from __future__ import annotations

from funcgrad.testing.checking import check_grads
from funcgrad.testing.reports import Comparison, DerivativeError, Report

__all__ = ["Comparison", "DerivativeError", "Report", "check_grads"]
