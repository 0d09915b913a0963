"""Lowerings of `primitives/exponential.py`."""

from __future__ import annotations

import numpy as np

from funcgrad.compiler.lowerings.elementwise import LIBRARY, pointwise
from funcgrad.compiler.scalars import select
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.math.exponential import exp, expm1
from funcgrad.kernels.math.logarithm import log, log1p
from funcgrad.primitives import exponential

_LN2 = 0.6931471805599453


def logaddexp(x1: Value, x2: Value) -> Value:
    """log(e^x1 + e^x2) as NumPy has it: the larger plus log(1 + e^-d), d the distance; of equal infinities those."""
    larger = select(x1 > x2, x1, x2)
    smaller = select(x1 > x2, x2, x1)
    y = larger + log1p(exp(smaller - larger))
    y = select(x1.equals(x2), x1 + _LN2, y)
    return select(x1.is_nan(), x1, y)


def logaddexp_share(x1: Value, x2: Value) -> Value:
    """1 / (1 + e^(x2 - x1)); 1/2 where both are equal, be they infinite."""
    return 1.0 / (1.0 + exp(select(x1.equals(x2), x1.like(0.0), x2 - x1)))


pointwise(exponential.exp_p, np.exp, exp, LIBRARY)
pointwise(exponential.expm1_p, np.expm1, expm1, LIBRARY)
pointwise(exponential.log_p, np.log, log, LIBRARY)
pointwise(exponential.log1p_p, np.log1p, log1p, LIBRARY)
pointwise(exponential.logaddexp_p, np.logaddexp, logaddexp, 2.0 * LIBRARY)
pointwise(exponential.logaddexp_share_p, np.logaddexp, logaddexp_share, LIBRARY + 7.0)
