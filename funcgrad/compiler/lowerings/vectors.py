"""Lowerings of `primitives/vectors.py`: contractions, and the vector product."""

from __future__ import annotations

from typing import Any

from funcgrad.compiler.indices import Affine
from funcgrad.compiler.loops import Apply, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.lowerings.contractions import core_product
from funcgrad.compiler.lowerings.linalg import Formulas, stored_operand
from funcgrad.compiler.scalars import multiply, subtract
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import vectors


@lowers(vectors.vecdot_p)
def _vecdot(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    return core_product(lowering, eqn, x1, (0,), x2, (0,), ())


@lowers(vectors.matvec_p)
def _matvec(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    return core_product(lowering, eqn, x1, (0, 1), x2, (1,), (0,))


@lowers(vectors.vecmat_p)
def _vecmat(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    return core_product(lowering, eqn, x1, (0,), x2, (0, 1), (1,))


@lowers(vectors.cross_p)
def _cross(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    dtype = aval.dtype
    if dtype.kind not in "fiu" or aval.shape[-1] != 3:
        return NotImplemented
    if not aval.size:
        return lowering.fusion.buffer(aval.shape, dtype)
    a, b = (lowering.repeated(stored_operand(lowering, x), aval.shape) for x in (x1, x2))
    formulas = Formulas(lowering, aval.shape[:-1])

    def product(i: int, j: int) -> Expression:
        factors = [cast(x.at((*formulas.stack, Affine(k))), dtype) for x, k in ((a, i), (b, j))]
        return Apply(multiply, factors, dtype)

    pairs = [((k + 1) % 3, (k + 2) % 3) for k in range(3)]
    y = formulas.result((3,), dtype, [Apply(subtract, (product(i, j), product(j, i)), dtype) for i, j in pairs])
    formulas.finish()
    return y
