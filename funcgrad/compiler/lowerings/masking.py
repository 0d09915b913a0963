"""Lowering of `primitives/masking.py`: select."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler import scalars
from funcgrad.compiler.loops import BOOL
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import check_python_integers, elements
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import masking


@lowers(masking.select_p, complex_numbers=True)
def _select(lowering: Lowering, eqn: Equation, pred: Tensor, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    dtypes = (BOOL, aval.dtype, aval.dtype)
    check_python_integers(lowering, eqn, (pred, x1, x2), dtypes)
    return elements(lowering, aval, scalars.select, (pred, x1, x2), dtypes, 1.0)
