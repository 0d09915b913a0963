"""Elementwise primitives: a scalar function of operands that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.compiler import scalars
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.loops import Apply
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.avals import ShapedArray
from funcgrad.core.jaxpr import Equation
from funcgrad.core.primitive import Primitive
from funcgrad.kernels import assembly
from funcgrad.kernels.math import exponential
from funcgrad.primitives import arithmetic, comparison, exponential as exponentials, kinds, masking, powers, structural

# What a call of the mathematics library costs beside an addition.
_LIBRARY = 12.0


def apply(
    lowering: Lowering, eqn: Equation, function: Callable[..., Any], xs: tuple[Tensor, ...], common: Any, cost: float
) -> Tensor:
    """A scalar function of operands converted to one dtype."""
    aval = eqn.outputs[0].aval
    shape, dtype = aval.shape, aval.dtype
    operands = [lowering.repeated(x, shape) for x in xs]
    return Tensor(
        shape, dtype, lambda index: Apply(function, [cast(x.at(index), common) for x in operands], dtype, cost)
    )


def common_dtype(avals: list[ShapedArray]) -> np.dtype[Any]:
    """The dtype in which NumPy compares operands of these types."""
    python = {"b": False, "i": 0, "f": 0.0, "c": 0j}
    return np.result_type(*[python[a.dtype.kind] if a.weak_type else a.dtype for a in avals])


def pointwise(primitive: Primitive, function: Callable[..., Any], cost: float = 1.0) -> None:
    """Lower a primitive to a scalar function of operands of the result's dtype."""

    @lowers(primitive)
    def rule(lowering: Lowering, eqn: Equation, *xs: Tensor, **params: Any) -> Any:
        dtype = eqn.outputs[0].aval.dtype
        return apply(lowering, eqn, function, xs, dtype, cost)


def compares(primitive: Primitive, function: Callable[..., Any]) -> None:
    """Lower a comparison."""

    @lowers(primitive)
    def rule(lowering: Lowering, eqn: Equation, *xs: Tensor) -> Any:
        return apply(lowering, eqn, function, xs, common_dtype([x.aval for x in eqn.inputs]), 1.0)


pointwise(arithmetic.add_p, scalars.add)
pointwise(arithmetic.subtract_p, scalars.subtract)
pointwise(arithmetic.multiply_p, scalars.multiply)
pointwise(arithmetic.negative_p, scalars.negative)
pointwise(arithmetic.divide_p, scalars.divide, 4.0)
pointwise(exponentials.exp_p, exponential.exp, _LIBRARY)
compares(comparison.less_p, scalars.less)
compares(comparison.less_equal_p, scalars.less_equal)
compares(comparison.greater_p, scalars.greater)
compares(comparison.greater_equal_p, scalars.greater_equal)
compares(comparison.equal_p, scalars.equal)
compares(comparison.not_equal_p, scalars.not_equal)


@lowers(masking.select_p)
def _select(lowering: Lowering, eqn: Equation, pred: Tensor, x1: Tensor, x2: Tensor) -> Any:
    aval = eqn.outputs[0].aval
    p, a, b = (lowering.repeated(x, aval.shape) for x in (pred, x1, x2))
    bool_ = np.dtype(np.bool_)

    def elements(index: Any) -> Apply:
        operands = (cast(p.at(index), bool_), cast(a.at(index), aval.dtype), cast(b.at(index), aval.dtype))
        return Apply(scalars.select, operands, aval.dtype)

    return Tensor(aval.shape, aval.dtype, elements)


@lowers(structural.cast_p, structural.truncate_p)
def _cast(lowering: Lowering, eqn: Equation, x: Tensor, dtype: np.dtype[Any]) -> Any:
    return lowering.cast(x, np.dtype(dtype))


__all__ = ["assembly", "kinds", "powers"]
