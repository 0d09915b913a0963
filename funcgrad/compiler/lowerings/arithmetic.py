"""Lowerings of `primitives/arithmetic.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import BOOL, Apply, Constant
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import (
    ALL_KINDS,
    DIVISION,
    LIBRARY,
    ByKind,
    dtypes_of,
    elements,
    loop_dtypes,
    over_roots,
    pointwise,
)
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import ELEMENTS
from funcgrad.kernels.math import floats, integers
from funcgrad.primitives import arithmetic

pointwise(arithmetic.add_p, np.add, scalars.add, kinds=ALL_KINDS)
pointwise(arithmetic.subtract_p, np.subtract, scalars.subtract, kinds=ALL_KINDS)
pointwise(arithmetic.multiply_p, np.multiply, scalars.multiply, kinds=ALL_KINDS)
pointwise(arithmetic.negative_p, np.negative, scalars.negative, kinds=ALL_KINDS)
pointwise(arithmetic.positive_p, np.positive, scalars.positive, 0.0, kinds=ALL_KINDS)
pointwise(arithmetic.sign_p, np.sign, scalars.sign, 3.0)
pointwise(arithmetic.absolute_p, np.absolute, scalars.absolute, kinds=ALL_KINDS)
pointwise(arithmetic.abs_p, np.absolute, scalars.absolute, kinds=ALL_KINDS)
pointwise(arithmetic.fabs_p, np.fabs, scalars.absolute)
pointwise(arithmetic.copysign_p, np.copysign, scalars.copysign, 2.0)
pointwise(arithmetic.heaviside_p, np.heaviside, scalars.heaviside, 5.0)
pointwise(arithmetic.maximum_p, np.maximum, scalars.maximum, 3.0)
pointwise(arithmetic.minimum_p, np.minimum, scalars.minimum, 3.0)
pointwise(arithmetic.fmax_p, np.fmax, scalars.fmax, 3.0)
pointwise(arithmetic.fmin_p, np.fmin, scalars.fmin, 3.0)
pointwise(
    arithmetic.floor_divide_p,
    np.floor_divide,
    ByKind(floats.floor_divide, integers.floor_divide),
    2.0 * LIBRARY,
    kinds="fiu",
    python=False,
)
pointwise(
    arithmetic.remainder_p,
    np.remainder,
    ByKind(floats.remainder, integers.remainder),
    2.0 * LIBRARY,
    kinds="fiu",
    python=False,
)
pointwise(arithmetic.fmod_p, np.fmod, ByKind(floats.fmod, integers.fmod), 2.0 * LIBRARY, kinds="fiu")


@lowers(arithmetic.divide_p, complex_numbers=True)
def _divide(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    *dtypes, _ = dtypes_of(np.divide, eqn)
    if aval.weak_type:
        lowering.require(_nonzero(x2), "Python divides by zero")
    return over_roots(elements(lowering, aval, scalars.divide, (x1, x2), dtypes, DIVISION))


def _nonzero(x: Tensor) -> Tensor:
    zero = Constant(0, x.dtype)
    return Tensor(x.shape, BOOL, lambda index: Apply(scalars.not_equal, (x.at(index), zero), BOOL))


@lowers(arithmetic.larger_share_p)
def _larger_share(lowering: Lowering, eqn: Equation, t: Tensor, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    avals = [x.aval for x in eqn.inputs[1:]]
    *compared, _ = loop_dtypes(np.greater, tuple((a.dtype, a.weak_type) for a in avals))
    if aval.dtype.kind != "f" or compared[0] != compared[1] or compared[0] not in ELEMENTS:
        return NotImplemented
    return elements(lowering, aval, scalars.larger_share, (t, x1, x2), (aval.dtype, *compared), 5.0)
