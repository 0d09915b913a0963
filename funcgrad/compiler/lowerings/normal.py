"""Lowering of the one of `primitives/normal.py` that kernels know: logit."""

from __future__ import annotations

import numpy as np

from funcgrad.compiler.lowerings.elementwise import DIVISION, LIBRARY, pointwise
from funcgrad.compiler.scalars import select
from funcgrad.kernels.assembly import Value, fabs
from funcgrad.kernels.math.logarithm import log, log1p
from funcgrad.primitives import normal


def logit(x: Value) -> Value:
    """log(x / (1 - x)); near 1/2, where that is near 0, by what is above 1/2."""
    above = 2.0 * (x - 0.5)
    near = log1p(above) - log1p(-above)
    return select(fabs(x - 0.5) < 0.2, near, log(x / (1.0 - x)))


pointwise(normal.logit_p, np.fabs, logit, 3.0 * LIBRARY + DIVISION)
