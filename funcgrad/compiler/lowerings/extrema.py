"""Lowerings of `primitives/extrema.py`: the greatest and the least, where they are, and truths over axes."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler.indices import counter
from funcgrad.compiler.loops import BOOL, INT64, Apply, Constant, Counter, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.lowerings.elementwise import DIVISION
from funcgrad.compiler.lowerings.reductions import along, kept_shape, mapped, reduced, stored
from funcgrad.compiler.scalars import multiply, select
from funcgrad.compiler.tensors import Tensor, identity
from funcgrad.core.jaxpr import Equation
from funcgrad.core.primitive import Primitive
from funcgrad.kernels.assembly import Value
from funcgrad.primitives import extrema

Shape: TypeAlias = tuple[int, ...]


def attains(x: Value, extremum: Value) -> Value:
    """Whether a number is the extremum; a NaN is, if there is one."""
    hit = x.equals(extremum)
    return hit | x.is_nan() if x.element.kind == "f" else hit


def reciprocal(x: Value) -> Value:
    """1 / x."""
    return 1.0 / x


# reduce_max, reduce_min ----------------------------------------------------------------------------------------------


def _extremum(primitive: Primitive, combine: str) -> None:
    @lowers(primitive)
    def rule(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
        return reduced(lowering, x, axes, combine, eqn.outputs[0].aval.shape)


_extremum(extrema.reduce_max_p, "maximum")
_extremum(extrema.reduce_min_p, "minimum")


@lowers(extrema.shares_p)
def _shares(lowering: Lowering, eqn: Equation, x: Tensor, y: Tensor, axes: Shape) -> Any:
    """1/n for each of the n elements that attain the extremum, else 0."""
    dtype = eqn.outputs[0].aval.dtype
    if x.dtype != y.dtype or dtype.kind != "f":
        return NotImplemented
    hit = mapped(attains, 2.0, BOOL, stored(lowering, x), lowering.repeated(y, x.shape))
    count = reduced(lowering, lowering.cast(hit, dtype), axes, "sum", kept_shape(x, axes))
    share = along(lowering.fusion.realise(mapped(reciprocal, DIVISION, dtype, count)), x.shape, axes)
    return mapped(multiply, 1.0, dtype, lowering.cast(hit, dtype), share)


# argmax, argmin: the least index at which the extremum is ------------------------------------------------------------


def _argument(primitive: Primitive, combine: str) -> None:
    @lowers(primitive)
    def rule(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
        aval = eqn.outputs[0].aval
        if not x.size:
            return Tensor(aval.shape, INT64, lambda index: Constant(0, INT64))
        (axis,) = axes
        stored(lowering, x)
        extremum = along(reduced(lowering, x, axes, combine, kept_shape(x, axes)), x.shape, axes)
        index = identity(x.shape)
        hit = Apply(attains, (x.at(index), extremum.at(index)), BOOL, 2.0)
        position = Counter(counter(axis, x.shape[axis]))
        last = Constant(np.iinfo(np.int64).max, INT64)
        kept = [k for k in range(len(x.shape)) if k != axis]
        place: Expression = Apply(select, (hit, position, last), INT64)
        return lowering.fusion.reduce(x.shape, kept, place, "minimum", aval.shape, INT64)


_argument(extrema.argmax_p, "maximum")
_argument(extrema.argmin_p, "minimum")


# reduce_any, reduce_all, count_nonzero -------------------------------------------------------------------------------


def _truth(combine: str, lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
    return reduced(lowering, x, axes, combine, eqn.outputs[0].aval.shape, BOOL)


lowers(extrema.reduce_any_p)(partial(_truth, "any"))
lowers(extrema.reduce_all_p)(partial(_truth, "all"))


@lowers(extrema.count_nonzero_p)
def _count_nonzero(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool) -> Any:
    ones = Tensor(x.shape, INT64, lambda index: cast(cast(x.at(index), BOOL), INT64))
    return reduced(lowering, ones, axes, "sum", eqn.outputs[0].aval.shape)
