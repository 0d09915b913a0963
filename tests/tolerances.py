"""The one table of tolerances: by dtype, relative to the largest magnitude in play."""

from __future__ import annotations

import numpy as np

# Values that are computed another way than the reference computes them.
VALUE = {"float64": 1e-12, "float32": 2e-5, "complex128": 1e-12, "complex64": 2e-5}
# Derivatives against extrapolated central differences, and against each other.
DIFFERENCES = {"float64": 1e-6, "float32": 2e-2, "complex128": 1e-6, "complex64": 2e-2}
ADJOINT = {"float64": 1e-10, "float32": 2e-4, "complex128": 1e-10, "complex64": 2e-4}


def tolerance(table: dict[str, float], *arrays: object) -> float:
    """The entry for the least precise dtype among arrays."""
    return max(table.get(np.result_type(x).name, 0.0) for x in arrays)
