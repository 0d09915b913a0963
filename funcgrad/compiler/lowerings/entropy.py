"""Lowerings of `primitives/entropy.py`."""

from __future__ import annotations

import math

import numpy as np

from funcgrad.compiler.lowerings.elementwise import LIBRARY, pointwise
from funcgrad.compiler.scalars import select
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.math.logarithm import log, log1p
from funcgrad.primitives import entropy


def xlogy(x: Value, y: Value) -> Value:
    """x log(y), 0 where x is 0 and y a number."""
    return select(x.equals(0.0), select(y.is_nan(), y, y.like(0.0)), x * log(y))


def xlog1py(x: Value, y: Value) -> Value:
    """x log(1 + y), 0 where x is 0 and y a number."""
    return select(x.equals(0.0), select(y.is_nan(), y, y.like(0.0)), x * log1p(y))


def entr(x: Value) -> Value:
    """-x log(x), 0 at 0, minus infinity below."""
    y = select(x.equals(0.0), x.like(0.0), -(x * log(x)))
    return select(x < 0.0, x.like(-math.inf), y)


pointwise(entropy.xlogy_p, np.logaddexp, xlogy, LIBRARY)
pointwise(entropy.xlog1py_p, np.logaddexp, xlog1py, LIBRARY)
pointwise(entropy.entr_p, np.fabs, entr, LIBRARY)
