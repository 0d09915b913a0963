"""Products that sum: small ones are nests, large ones BLAS."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler.indices import Index, counter
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.loops import Apply
from funcgrad.compiler.scalars import multiply
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import contractions


@lowers(contractions.matmul_p)
def _matmul(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    if len(x1.shape) != 2 or len(x2.shape) != 2:
        return NotImplemented
    (n, k), m = x1.shape, x2.shape[1]
    aval = eqn.outputs[0].aval
    for x in (x1, x2):
        if x.cost > 0.0:
            lowering.fusion.realise(x)
    i, j, c = counter(0, n), counter(1, m), counter(2, k)
    left: tuple[Index, ...] = (i, c)
    right: tuple[Index, ...] = (c, j)
    product = Apply(multiply, (cast(x1.at(left), aval.dtype), cast(x2.at(right), aval.dtype)), aval.dtype)
    return lowering.fusion.reduce((n, m, k), (0, 1), product, "sum", aval.shape, aval.dtype)
