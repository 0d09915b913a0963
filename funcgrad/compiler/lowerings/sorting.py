"""Lowerings of `primitives/sorting.py`: searching and counting; sorting itself is NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.indices import Affine, Index
from funcgrad.compiler.loops import BOOL, INT64, Apply, Constant, Counter, Expression, Nest, Statement
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.scalars import add, less, less_equal, logical_and, select
from funcgrad.compiler.tensors import Tensor, constant, flat_index, identity
from funcgrad.core.jaxpr import Equation
from funcgrad.kernels.assembly import ELEMENTS, Value
from funcgrad.primitives import sorting


def comes_before(x1: Value, x2: Value) -> Value:
    """Whether NumPy sorts x1 before x2: NaN last."""
    before = x1 < x2
    return before | (x2.is_nan() & ~x1.is_nan()) if x1.element.kind == "f" else before


def comes_not_behind(x1: Value, x2: Value) -> Value:
    """Whether NumPy does not sort x1 behind x2."""
    return ~comes_before(x2, x1)


def smaller(x1: Value, x2: Value) -> Value:
    """The smaller of two integers."""
    return select(x1 < x2, x1, x2)


# searchsorted --------------------------------------------------------------------------------------------------------


@lowers(sorting.searchsorted_p)
def _searchsorted(lowering: Lowering, eqn: Equation, x: Tensor, v: Tensor, side: str) -> Any:
    """A binary search by halving steps, without branches."""
    aval = eqn.outputs[0].aval
    common = np.result_type(x.dtype, v.dtype)
    size = x.shape[-1]
    if common not in ELEMENTS or common.kind not in "fiu":
        return NotImplemented
    if not size or not aval.size:
        return constant(0, INT64, aval.shape)
    for operand in (x, v):
        if operand.cost > 0.0:
            lowering.fusion.realise(operand)
    passes = comes_before if side == "left" else comes_not_behind
    last = Constant(size - 1, INT64)

    def elements(index: tuple[Index, ...]) -> Expression:
        value = cast(v.at(index), common)
        row = index[:1] if len(x.shape) == 2 else ()
        count: Expression = Constant(0, INT64)
        for bit in reversed(range(size.bit_length())):
            further = Apply(add, (count, Constant(1 << bit, INT64)), INT64)
            place = Apply(smaller, (Apply(add, (further, Constant(-1, INT64)), INT64), last), INT64)
            element = cast(x.at((*row, place)), common)
            inside = Apply(less_equal, (further, Constant(size, INT64)), BOOL)
            passed = Apply(logical_and, (inside, Apply(passes, (element, value), BOOL, 3.0)), BOOL)
            count = Apply(select, (passed, further, count), INT64)
        return count

    return Tensor(aval.shape, INT64, elements)


# bincount ------------------------------------------------------------------------------------------------------------


@lowers(sorting.bincount_p)
def _bincount(lowering: Lowering, eqn: Equation, bins: Tensor, weights: Tensor, length: int) -> Any:
    aval = eqn.outputs[0].aval
    if bins.dtype.kind not in "iu" or weights.dtype.kind not in "fiub" or not weights.size:
        return NotImplemented
    bins = lowering.fusion.realise(lowering.cast(bins, INT64))
    lowering.require(Tensor(bins.shape, BOOL, lambda index: _within(bins.at(index), length)), "a bin out of bounds")
    y = lowering.fusion.buffer(aval.shape, aval.dtype)
    lowering.fusion.realise(constant(0, aval.dtype, aval.shape), y)
    index = identity(weights.shape)
    place: Expression = bins.at(index)
    if len(weights.shape) == 2:
        row = flat_index(index[:1], (length,))
        assert isinstance(row, Affine)
        place = Apply(add, (place, Counter(row)), INT64)
    assert y.buffer is not None
    update = Statement(y.buffer, place, cast(weights.at(index), aval.dtype), "add")
    lowering.fusion.append(Nest(weights.shape, [update], ordered=True))
    return y


def _within(x: Expression, length: int) -> Expression:
    above = Apply(less_equal, (Constant(0, INT64), x), BOOL)
    return Apply(logical_and, (above, Apply(less, (x, Constant(length, INT64)), BOOL)), BOOL)
