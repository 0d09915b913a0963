"""Lowerings of `primitives/complex.py`: numbers and their parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import elements, pointwise
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import complex as kernels
from funcgrad.kernels.complex import PARTS
from funcgrad.primitives import complex

pointwise(complex.conjugate_p, np.conjugate, kernels.conjugate, kinds="c")


@lowers(complex.real_p, complex_numbers=True)
def _real(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return elements(lowering, eqn.outputs[0].aval, kernels.real, (x,), (x.dtype,), 0.0)


@lowers(complex.imag_p, complex_numbers=True)
def _imag(lowering: Lowering, eqn: Equation, x: Tensor) -> Any:
    return elements(lowering, eqn.outputs[0].aval, kernels.imaginary, (x,), (x.dtype,), 0.0)


@lowers(complex.complex_p, complex_numbers=True)
def _complex(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype not in PARTS:
        return NotImplemented
    part = np.dtype(PARTS[aval.dtype].name)
    return elements(lowering, aval, kernels.pair, (x1, x2), (part, part), 0.0)
