"""Lowerings of `primitives/reductions.py`: nests over the operand's elements that accumulate."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler.indices import ZERO
from funcgrad.compiler.loops import Apply, Constant, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.lowerings.elementwise import DIVISION, pointwise
from funcgrad.compiler.scalars import add, multiply, select
from funcgrad.compiler.tensors import Tensor, identity, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels import assembly
from funcgrad.kernels.assembly import Value
from funcgrad.primitives import reductions

Shape: TypeAlias = tuple[int, ...]
Dtype: TypeAlias = np.dtype[Any]

# What is read twice is stored first if an element takes more work than this.
_WORTH_STORING = 2.0

pointwise(reductions.root_p, np.sqrt, assembly.sqrt, DIVISION, kinds="f")


def reduced(
    lowering: Lowering, x: Tensor, axes: Shape | None, combine: str, shape: Shape, dtype: Dtype | None = None
) -> Tensor:
    """x reduced over axes (None: all) to a shape, each element converted first."""
    axes = tuple(range(len(x.shape))) if axes is None else axes
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    x = lowering.cast(x, x.dtype if dtype is None else dtype)
    if all(x.shape[axis] == 1 for axis in axes):
        if combine == "sum" and x.dtype.kind == "f":
            x = mapped(without_sign_of_zero, 1.0, x.dtype, x)
        return moved(x, shape, lambda index: _at_kept(index, kept, len(x.shape), len(shape)))
    element = x.at(identity(x.shape)) if x.size else Constant(0, x.dtype)
    return lowering.fusion.reduce(x.shape, kept, element, combine, shape, x.dtype)


def without_sign_of_zero(x: Value) -> Value:
    """x + 0."""
    return x + 0.0


def _at_kept(index: Any, kept: list[int], rank: int, result_rank: int) -> Any:
    """The index of the operand for that of a result over axes of length 1, which may have kept them."""
    if rank == result_rank:
        return index
    places = {axis: place for place, axis in enumerate(kept)}
    return tuple(index[places[axis]] if axis in places else ZERO for axis in range(rank))


def kept_shape(x: Tensor, axes: Shape) -> Shape:
    """The shape of a reduction's result without the reduced axes."""
    return tuple(n for axis, n in enumerate(x.shape) if axis not in axes)


def along(y: Tensor, shape: Shape, axes: Shape) -> Tensor:
    """A result without the reduced axes, repeated along them again."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    return moved(y, shape, lambda index: tuple(index[axis] for axis in kept))


def mapped(function: Any, cost: float, dtype: Dtype, *xs: Tensor) -> Tensor:
    """A scalar function of tensors of one shape."""
    return Tensor(xs[0].shape, dtype, lambda index: Apply(function, [x.at(index) for x in xs], dtype, cost))


def stored(lowering: Lowering, x: Tensor) -> Tensor:
    """x, stored if it takes work: it will be read more than once."""
    return lowering.fusion.realise(x) if x.buffer is None and x.cost > _WORTH_STORING else x


# The sum of some elements --------------------------------------------------------------------------------------------


@lowers(reductions.masked_sum_p)
def _masked_sum(
    lowering: Lowering,
    eqn: Equation,
    x: Tensor,
    initial: Tensor,
    where: Tensor,
    axes: Shape,
    keepdims: bool,
    dtype: Any,
) -> Any:
    aval = eqn.outputs[0].aval
    if where.dtype.kind != "b" or aval.dtype.kind == "b":
        return NotImplemented
    mask, zero = lowering.repeated(where, x.shape), Constant(0, aval.dtype)

    def chosen(index: Any) -> Expression:
        return Apply(select, (mask.at(index), cast(x.at(index), aval.dtype), zero), aval.dtype)

    total = reduced(lowering, Tensor(x.shape, aval.dtype, chosen), axes, "sum", aval.shape)
    start = lowering.repeated(lowering.cast(initial, aval.dtype), aval.shape)
    return mapped(add, 1.0, aval.dtype, total, start)


# The product ---------------------------------------------------------------------------------------------------------


@lowers(reductions.reduce_prod_p)
def _reduce_prod(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool, initial: Any = 1) -> Any:
    aval = eqn.outputs[0].aval
    if aval.dtype.kind == "b":
        return NotImplemented
    y = reduced(lowering, x, axes, "product", aval.shape, aval.dtype)
    first = np.asarray(initial).astype(aval.dtype)[()]
    if first == 1:
        return y
    factor = Constant(first, aval.dtype)
    return Tensor(y.shape, aval.dtype, lambda index: Apply(multiply, (factor, y.at(index)), aval.dtype))


# The norm ------------------------------------------------------------------------------------------------------------


@lowers(reductions.norm_p)
def _norm(lowering: Lowering, eqn: Equation, x: Tensor, axes: Shape, keepdims: bool, flat: bool) -> Any:
    aval = eqn.outputs[0].aval
    if x.dtype != aval.dtype or aval.dtype.kind != "f":
        return NotImplemented
    squares = mapped(multiply, 1.0, aval.dtype, x, x)
    return mapped(assembly.sqrt, DIVISION, aval.dtype, reduced(lowering, squares, axes, "sum", aval.shape))
