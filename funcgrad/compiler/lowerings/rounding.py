"""Lowerings of `primitives/rounding.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import DIVISION, LIBRARY, elements, pointwise
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.math import floats
from funcgrad.primitives import rounding

pointwise(rounding.floor_p, np.floor, scalars.floor)
pointwise(rounding.ceil_p, np.ceil, scalars.ceil)
pointwise(rounding.trunc_p, np.trunc, scalars.trunc)
pointwise(rounding.rint_p, np.rint, scalars.rint)
pointwise(rounding.spacing_p, np.spacing, floats.spacing, 6.0, kinds="f")
pointwise(rounding.nextafter_p, np.nextafter, floats.nextafter, 12.0, kinds="f")
pointwise(rounding.ldexp_p, np.ldexp, floats.ldexp, LIBRARY)
pointwise(rounding.exponent_p, np.frexp, floats.exponent, 8.0, kinds="f")
pointwise(rounding.mantissa_p, np.fabs, floats.mantissa, 8.0, kinds="f")
pointwise(rounding.fraction_p, np.fabs, scalars.fraction, 5.0)


@lowers(rounding.round_p)
def _round(lowering: Lowering, eqn: Equation, x: Tensor, decimals: int) -> Any:
    aval = eqn.outputs[0].aval
    if x.dtype.kind in "iu" and decimals >= 0:
        return x
    if x.dtype.kind != "f":
        return NotImplemented
    return elements(lowering, aval, scalars.RoundTo(decimals), (x,), (x.dtype,), 1.0 + DIVISION * bool(decimals))
