"""Lowerings of `primitives/cumulative.py`: recurrences along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler import recurrences
from funcgrad.compiler.accumulators import COMBINE, neutral
from funcgrad.compiler.indices import Index
from funcgrad.compiler.loops import BOOL, Apply, Constant, Expression, Nest, Statement
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.scalars import add, multiply
from funcgrad.compiler.tensors import Tensor, affine_of, flat_index, identity, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.core.primitive import Primitive
from funcgrad.kernels.assembly import ELEMENTS, Value
from funcgrad.primitives import cumulative

Dtype: TypeAlias = np.dtype[Any]

# From so many rows side by side, each step is taken for all of them; otherwise row by row, the carry in a register.
_WORTH_ABREAST = 4
# Recurrences of so few elements are written out.
_SMALL = 64


def times_plus(z: Value, x: Value, b: Value) -> Value:
    """x z + b, rounded twice as NumPy does it."""
    return x * z + b


def same(x1: Value, x2: Value) -> Value:
    """Whether equal, or both not a number."""
    hit = x1.equals(x2)
    return hit | (x1.is_nan() & x2.is_nan()) if x1.element.kind == "f" else hit


def flipped(x: Tensor, axis: int) -> Tensor:
    """x backwards along an axis."""
    last = x.shape[axis] - 1
    return moved(x, x.shape, lambda i: (*i[:axis], affine_of(i[axis], -1, last), *i[axis + 1 :]))


def accumulated(
    lowering: Lowering,
    xs: Sequence[Tensor],
    axis: int,
    reverse: bool,
    start: Any,
    body: recurrences.Body,
    exclusive: bool = False,
) -> Tensor:
    """y[k] = z[k + 1], where z[0] = start and z[k + 1] = body(z[k], x[k], ...); z[k] itself, if exclusive."""
    shape, dtype = xs[0].shape, xs[0].dtype
    y = lowering.fusion.buffer(shape, dtype)
    if not y.size:
        return y
    xs = [flipped(x, axis) if reverse else x for x in xs]
    target = flipped(y, axis) if reverse else y
    if math.prod(shape[axis + 1 :]) >= _WORTH_ABREAST or y.size <= _SMALL:
        _abreast(lowering, xs, target, axis, start, body, exclusive)
        return y
    last = [lowering.fusion.realise(_axis_last(x, axis)) for x in xs]
    lowering.fusion.append(recurrences.recurrence(last, _axis_last(target, axis), start, body, exclusive))
    return y


def _axis_last(x: Tensor, axis: int) -> Tensor:
    rest = tuple(n for k, n in enumerate(x.shape) if k != axis)
    return moved(x, (*rest, x.shape[axis]), lambda i: (*i[:axis], i[-1], *i[axis:-1]))


def _abreast(
    lowering: Lowering,
    xs: Sequence[Tensor],
    y: Tensor,
    axis: int,
    start: Any,
    body: recurrences.Body,
    exclusive: bool,
) -> None:
    """A nest for the first elements, and one that steps along the axis."""
    for x in xs:
        if x.cost > 0.0:
            lowering.fusion.realise(x)
    constant = Constant(start, y.dtype)

    def first(index: tuple[Index, ...]) -> Expression:
        return constant if exclusive else Apply(body, (constant, *[x.at(index) for x in xs]), y.dtype)

    def following(index: tuple[Index, ...]) -> Expression:
        here = index if exclusive else shifted(index, axis)
        return Apply(body, (y.at(index), *[x.at(here) for x in xs]), y.dtype)

    steps_along(lowering, y, axis, first, following)


def shifted(index: tuple[Index, ...], axis: int) -> tuple[Index, ...]:
    """The index of the next element."""
    return (*index[:axis], affine_of(index[axis], 1, 1), *index[axis + 1 :])


def steps_along(lowering: Lowering, y: Tensor, axis: int, first: Any, following: Any) -> None:
    """Store the first elements along an axis, and then for each index the element behind it."""
    assert y.buffer is not None
    rest = (*y.shape[:axis], 1, *y.shape[axis + 1 :])
    index = identity(rest)
    place = flat_index(index, y.strides, y.offset)
    lowering.fusion.append(Nest(rest, [Statement(y.buffer, place, first(index))]))
    if y.shape[axis] > 1:
        extents = (*y.shape[:axis], y.shape[axis] - 1, *y.shape[axis + 1 :])
        index = identity(extents)
        place = flat_index(shifted(index, axis), y.strides, y.offset)
        step = Nest(extents, [Statement(y.buffer, place, following(index))], sequential=(axis,))
        lowering.fusion.append(step)


# Sums, products, extrema ---------------------------------------------------------------------------------------------


def _is_number(dtype: Dtype) -> bool:
    return dtype.kind in "fiu"


@lowers(cumulative.cumsum_p)
def _cumsum(lowering: Lowering, eqn: Equation, x: Tensor, axis: int, reverse: bool) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if not _is_number(dtype):
        return NotImplemented
    start = -0.0 if dtype.kind == "f" else 0
    return accumulated(lowering, [lowering.cast(x, dtype)], axis, reverse, start, add)


@lowers(cumulative.cumprod_p)
def _cumprod(lowering: Lowering, eqn: Equation, x: Tensor, axis: int) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if not _is_number(dtype):
        return NotImplemented
    return accumulated(lowering, [lowering.cast(x, dtype)], axis, False, 1, multiply)


@lowers(cumulative.exclusive_cumprod_p)
def _exclusive_cumprod(lowering: Lowering, eqn: Equation, x: Tensor, axis: int, reverse: bool) -> Any:
    if not _is_number(x.dtype):
        return NotImplemented
    return accumulated(lowering, [x], axis, reverse, 1, multiply, exclusive=True)


@lowers(cumulative.recurrence_p)
def _recurrence(lowering: Lowering, eqn: Equation, x: Tensor, b: Tensor, axis: int, reverse: bool) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if dtype.kind != "f":
        return NotImplemented
    operands = [lowering.cast(operand, dtype) for operand in (x, b)]
    return accumulated(lowering, operands, axis, reverse, 0.0, times_plus, exclusive=True)


def _extremum(primitive: Primitive, combine: str) -> None:
    @lowers(primitive)
    def rule(lowering: Lowering, eqn: Equation, x: Tensor, axis: int) -> Any:
        if not _is_number(x.dtype):
            return NotImplemented
        start = neutral(combine, ELEMENTS[x.dtype])
        return accumulated(lowering, [x], axis, False, start, COMBINE[combine])


_extremum(cumulative.cummax_p, "maximum")
_extremum(cumulative.cummin_p, "minimum")


# runs ----------------------------------------------------------------------------------------------------------------


@lowers(cumulative.runs_p)
def _runs(lowering: Lowering, eqn: Equation, x: Tensor, y: Tensor, axis: int) -> Any:
    dtype = eqn.outputs[0].aval.dtype
    if dtype.kind != "f" or x.dtype != y.dtype:
        return NotImplemented
    for operand in (x, y):
        lowering.fusion.realise(operand)
    hit = lowering.fusion.realise(
        Tensor(x.shape, dtype, lambda i: cast(Apply(same, (x.at(i), y.at(i)), BOOL, 3.0), dtype))
    )
    continues = lowering.fusion.buffer(x.shape, dtype)
    if x.size:

        def goes_on(index: tuple[Index, ...]) -> Expression:
            return cast(Apply(same, (y.at(index), y.at(shifted(index, axis))), BOOL, 3.0), dtype)

        steps_along(lowering, continues, axis, lambda index: Constant(0.0, dtype), goes_on)
    count = accumulated(lowering, [continues, hit], axis, False, 0.0, times_plus)
    return [hit, continues, count]
