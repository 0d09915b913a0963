"""Lowerings of `primitives/special.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import DIVISION, LIBRARY, elements, pointwise
from funcgrad.compiler.scalars import select
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import F32, Value
from funcgrad.kernels.math.exponential import exp
from funcgrad.kernels.math.gamma import digamma, lgamma
from funcgrad.kernels.math.special import erf, erfc
from funcgrad.kernels.math.trigonometric import sin
from funcgrad.primitives import special


def logistic(x: Value) -> Value:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + exp(-x))


def sinc(x: Value) -> Value:
    """sin(pi x) / (pi x), by NumPy's formula."""
    u = x * (3.1415927410125732 if x.element is F32 else 3.141592653589793)
    u = select(u.equals(0.0), x.like(2.0**-23 if x.element is F32 else 2.0**-52), u)
    return sin(u) / u


pointwise(special.erf_p, np.fabs, erf, 2.0 * LIBRARY)
pointwise(special.erfc_p, np.fabs, erfc, 2.0 * LIBRARY)
pointwise(special.lgamma_p, np.fabs, lgamma, 5.0 * LIBRARY)
pointwise(special.logistic_p, np.exp, logistic, LIBRARY + DIVISION)


@lowers(special.sinc_p)
def _sinc(lowering: Lowering, eqn: Equation, x: Tensor, order: int) -> Any:
    aval = eqn.outputs[0].aval
    if order or aval.dtype.kind != "f":
        return NotImplemented
    return elements(lowering, aval, sinc, (x,), (aval.dtype,), 2.0 * LIBRARY + DIVISION)


@lowers(special.polygamma_p)
def _polygamma(lowering: Lowering, eqn: Equation, x: Tensor, order: int) -> Any:
    aval = eqn.outputs[0].aval
    if order or aval.dtype.kind != "f" or x.dtype.kind != "f":
        return NotImplemented
    return elements(lowering, aval, digamma, (x,), (aval.dtype,), 5.0 * LIBRARY)
