"""Lowerings of `primitives/softmax.py`: the greatest element first, then the exponentials of what is below it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler.loops import Apply, Expression
from funcgrad.compiler.lowering import Lowering, lowers
from funcgrad.compiler.lowerings.elementwise import DIVISION, LIBRARY
from funcgrad.compiler.lowerings.reductions import along, kept_shape, mapped, reduced, stored
from funcgrad.compiler.scalars import multiply, select
from funcgrad.compiler.tensors import Tensor
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import Value
from funcgrad.kernels.math.exponential import exp
from funcgrad.kernels.math.logarithm import log, log1p
from funcgrad.primitives import softmax

Shape: TypeAlias = tuple[int, ...]


def weight(x: Value, top: Value) -> Value:
    """e^(x - top), where an infinite top leaves 1 for its equals."""
    return exp(select(x.equals(top), x.like(0.0), x - top))


def softmax_weight(x: Value, top: Value) -> Value:
    """The same; 0 where even the greatest is minus infinity."""
    return select(top.equals(-np.inf), x.like(0.0), weight(x, top))


def reciprocal_of_sum(total: Value) -> Value:
    """1 / total, of nothing 1."""
    return 1.0 / select(total.equals(0.0), total.like(1.0), total)


def lesser_weight(x: Value, top: Value) -> Value:
    """e^(x - top) of what is less than the top, else 0."""
    return select(x.equals(top), x.like(0.0), exp(x - top))


def is_top(x: Value, top: Value) -> Value:
    """1 for the greatest elements, else 0."""
    return select(x.equals(top), x.like(1.0), x.like(0.0))


def logarithm_of_sum(top: Value, lesser: Value, count: Value) -> Value:
    """log(count + lesser) + top, accurate where the result is near 0."""
    count = select(count.equals(0.0), count.like(1.0), count)
    return log1p(lesser / count) + log(count) + top


@lowers(softmax.softmax_p)
def _softmax(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if dtype.kind != "f" or x.dtype != dtype:
        return NotImplemented
    shape = kept_shape(x, axes)
    stored(lowering, x)
    top = along(reduced(lowering, x, axes, "maximum", shape), x.shape, axes)
    weights = lowering.fusion.realise(mapped(softmax_weight, LIBRARY, dtype, x, top))
    total = reduced(lowering, weights, axes, "sum", shape)
    factor = lowering.fusion.realise(mapped(reciprocal_of_sum, DIVISION, dtype, total))
    return mapped(multiply, 1.0, dtype, weights, along(factor, x.shape, axes))


@lowers(softmax.logsumexp_p, softmax.logaddexp_reduce_p)
def _logsumexp(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype.kind != "f" or x.dtype != aval.dtype:
        return NotImplemented
    shape, dtype = kept_shape(x, axes), aval.dtype
    stored(lowering, x)
    top = reduced(lowering, x, axes, "maximum", shape)
    tops = along(top, x.shape, axes)
    lesser = reduced(lowering, mapped(lesser_weight, LIBRARY, dtype, x, tops), axes, "sum", shape)
    count = reduced(lowering, mapped(is_top, 1.0, dtype, x, tops), axes, "sum", shape)

    def logarithm(index: Any) -> Expression:
        operands = [y.at(index) for y in (top, lesser, count)]
        return Apply(logarithm_of_sum, operands, dtype, 2.0 * LIBRARY + DIVISION)

    y = lowering.fusion.realise(Tensor(shape, dtype, logarithm))
    return lowering.reshaped(y, aval.shape)
