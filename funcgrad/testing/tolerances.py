"""The one table of numeric tolerances: by dtype, relative to the largest magnitude in play; and the default order."""

from __future__ import annotations

from typing import Any

import numpy as np

# Values that are computed another way than the reference computes them.
VALUE = {"float64": 1e-12, "float32": 2e-5, "complex128": 1e-12, "complex64": 2e-5}
# Derivatives against differences of which nothing but the step is known.
DIFFERENCES = {"float64": 1e-6, "float32": 2e-2, "complex128": 1e-6, "complex64": 2e-2}
# Derivatives against each other: two ways that round differently.
ADJOINT = {"float64": 1e-10, "float32": 2e-4, "complex128": 1e-10, "complex64": 2e-4}
# Derivatives against a reference whose own error is estimated: what the derivative itself may lose by rounding.
DERIVATIVE = {"float64": 1e-9, "float32": 1e-3, "complex128": 1e-9, "complex64": 1e-3}
# Differences of nearly equal numbers in a derivative's rules lose digits, at each order more.
LOSS_PER_ORDER = 4.0
# How many times its estimate the error of an extrapolated difference may be.
SAFETY = 10.0
# A reference whose error is a larger part of the magnitude in play decides nothing.
INCONCLUSIVE = 1e-2

# To which order derivatives are checked, where nobody says; pytest's option --derivative-order says.
DEFAULT_ORDER = 2


class _Settings:
    """What pytest's options have set."""

    order: int = DEFAULT_ORDER


settings = _Settings()


def tolerance(table: dict[str, float], *arrays: Any) -> float:
    """The entry of a table for the least precise dtype among arrays."""
    return max([0.0, *[_entry(table, np.result_type(x)) for x in arrays]])


def _entry(table: dict[str, float], dtype: np.dtype[np.generic]) -> float:
    if dtype.kind not in "fc":
        return 0.0
    if dtype == np.float16:  # its precision is the square root of that of single precision
        return float(np.sqrt(table["float32"]))
    return table.get(dtype.name, table["float64"])


def magnitude(*arrays: Any) -> float:
    """The largest finite magnitude among the elements of arrays, and at least 1."""
    largest = 1.0
    for x in arrays:
        elements = np.abs(np.asarray(x))
        finite = elements[np.isfinite(elements)]
        if finite.size:
            largest = max(largest, float(finite.max()))
    return largest
