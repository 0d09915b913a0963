"""Floor 7: derivatives that prove themselves. Checks, laws, strategies for hypothesis, kinks, and where NaN came from.

All but `derivative_laws` and `funcgrad.testing.strategies` need NumPy alone; these two need hypothesis, and load it
when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from funcgrad.testing.checking import check_grads
from funcgrad.testing.kinks import Kink, kinks
from funcgrad.testing.laws import LawError, check_laws
from funcgrad.testing.nans import NanError, NanReport, debug_nans, why_nan
from funcgrad.testing.reports import Comparison, DerivativeError, Report

if TYPE_CHECKING:
    from funcgrad.testing import strategies
    from funcgrad.testing.properties import derivative_laws

__all__ = [
    "Comparison",
    "DerivativeError",
    "Kink",
    "LawError",
    "NanError",
    "NanReport",
    "Report",
    "check_grads",
    "check_laws",
    "debug_nans",
    "derivative_laws",
    "kinks",
    "strategies",
    "why_nan",
]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return importlib.import_module("funcgrad.testing.strategies")
    if name == "derivative_laws":
        return importlib.import_module("funcgrad.testing.properties").derivative_laws
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
