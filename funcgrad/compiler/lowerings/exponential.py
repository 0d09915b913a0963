"""Lowerings of `primitives/exponential.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import LIBRARY, dtypes_of, elements, literal, pointwise
from funcgrad.compiler.scalars import select
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import complex
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.complex import Complex
from funcgrad.kernels.math.exponential import exp, exp2, expm1
from funcgrad.kernels.math.logarithm import log, log1p, log2, log10, softplus
from funcgrad.primitives import exponential

_LN2 = 0.6931471805599453
_LOG2_E = 1.4426950408889634


def _exp(x: Any) -> Any:
    """e^x of floating and complex numbers."""
    return complex.exp(x) if type(x) is Complex else exp(x)


def logaddexp(x1: Value, x2: Value) -> Value:
    """log(e^x1 + e^x2) as NumPy has it: the larger plus log(1 + e^-d), d the distance; of equal infinities those."""
    return _log_of_sum(x1, x2, log1p(exp(_minus_distance(x1, x2))), _LN2)


def logaddexp2(x1: Value, x2: Value) -> Value:
    """log2(2^x1 + 2^x2), likewise."""
    return _log_of_sum(x1, x2, log1p(exp2(_minus_distance(x1, x2))) * _LOG2_E, 1.0)


def _minus_distance(x1: Value, x2: Value) -> Value:
    return select(x1 > x2, x2 - x1, x1 - x2)


def _log_of_sum(x1: Value, x2: Value, more: Value, more_if_equal: float) -> Value:
    y = select(x1 > x2, x1, x2) + more
    y = select(x1.equals(x2), x1 + more_if_equal, y)
    return select(x1.is_nan(), x1, y)


def logaddexp_share(x1: Value, x2: Value) -> Value:
    """1 / (1 + e^(x2 - x1)); 1/2 where both are equal, be they infinite."""
    return 1.0 / (1.0 + exp(select(x1.equals(x2), x1.like(0.0), x2 - x1)))


pointwise(exponential.exp_p, np.exp, _exp, LIBRARY, kinds="fc")
pointwise(exponential.exp2_p, np.exp2, exp2, LIBRARY)
pointwise(exponential.expm1_p, np.expm1, expm1, LIBRARY)
pointwise(exponential.log_p, np.log, log, LIBRARY)
pointwise(exponential.log2_p, np.log2, log2, LIBRARY)
pointwise(exponential.log10_p, np.log10, log10, LIBRARY)
pointwise(exponential.log1p_p, np.log1p, log1p, LIBRARY)
pointwise(exponential.logaddexp2_p, np.logaddexp2, logaddexp2, 2.0 * LIBRARY)
pointwise(exponential.logaddexp_share_p, np.logaddexp, logaddexp_share, LIBRARY + 7.0)


@lowers(exponential.logaddexp_p)
def _logaddexp(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    if literal(eqn.inputs[1]) == 0.0:
        return elements(lowering, aval, softplus, (lowering.repeated(x1, aval.shape),), (aval.dtype,), LIBRARY)
    return elements(lowering, aval, logaddexp, (x1, x2), dtypes_of(np.logaddexp, eqn)[:-1], 2.0 * LIBRARY)
