"""Lowering of `primitives/convolution.py`: for each shift a sum over the shorter vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.compiler.indices import Affine, Index, add_affine, counter
from funcgrad.compiler.loops import BOOL, INT64, Apply, Constant, Counter, Expression
from funcgrad.compiler.lowering import Lowering, cast, lowers
from funcgrad.compiler.scalars import greater_equal, less, logical_and, multiply, select
from funcgrad.compiler.tensors import Tensor, affine_of, constant, moved
from funcgrad.core.jaxpr import Equation
from funcgrad.primitives import convolution


@lowers(convolution.correlate_p)
def _correlate(lowering: Lowering, eqn: Equation, x1: Tensor, x2: Tensor, mode: str) -> Any:
    """y[k] = sum over n of x1[n + k + first] x2[n], where `first` may be negative and x1 ends."""
    aval = eqn.outputs[0].aval
    dtype = aval.dtype
    if dtype.kind not in "fiu":
        return NotImplemented
    if not aval.size:
        return lowering.fusion.buffer(aval.shape, dtype)
    n1, n2 = x1.shape[-1], x2.shape[-1]
    first, length = convolution.kept_overlaps(n1, n2, mode)
    first -= n2 - 1
    # With the second vector running backwards past the first, the longer one is that which slides.
    long, short, step, start = (x1, x2, 1, first) if n1 >= n2 else (x2, x1, -1, -first)
    low, high = _range(start, step, length, short.shape[-1])
    inside = low >= 0 and high < long.shape[-1]
    rows, k, n = len(aval.shape) - 1, len(aval.shape) - 1, len(aval.shape)
    extents = (*aval.shape, short.shape[-1])
    index = tuple(counter(axis, size) for axis, size in enumerate(extents))
    sliding = add_affine(index[n], affine_of(index[k], step, start - min(low, 0)))  # type: ignore[arg-type]
    source = lowering.cast(long, dtype) if inside else _padded(lowering, long, dtype, max(-low, 0), high)
    for x in (source, short):
        lowering.once(x, extents)
    factors = (source.at((*index[:rows], sliding)), cast(short.at((*index[:rows], index[n])), dtype))
    product: Expression = Apply(multiply, factors, dtype)
    if not inside and dtype.kind == "f":
        # What is infinite must not meet the padding.
        place = Counter(Affine(sliding.offset + min(low, 0), sliding.terms))
        product = Apply(select, (_between(place, long.shape[-1]), product, Constant(0, dtype)), dtype)
    return lowering.fusion.reduce(extents, range(n), product, "sum", aval.shape, dtype)


def _range(start: int, step: int, length: int, count: int) -> tuple[int, int]:
    """The least and the greatest place of the sliding vector that is asked for."""
    ends = (start, start + step * (length - 1))
    return min(ends), max(ends) + count - 1


def _padded(lowering: Lowering, x: Tensor, dtype: np.dtype[Any], before: int, high: int) -> Tensor:
    """x with zeros around its last axis."""
    after = max(high - (x.shape[-1] - 1), 0)
    shape = (*x.shape[:-1], before + x.shape[-1] + after)
    y = lowering.fusion.buffer(shape, dtype)
    lowering.fusion.realise(constant(0, dtype, shape), y)

    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return (*index[:-1], affine_of(index[-1], 1, before))

    lowering.fusion.overwrite(lowering.cast(x, dtype), moved(y, x.shape, index_map))
    return y


def _between(place: Expression, size: int) -> Expression:
    low = Apply(greater_equal, (place, Constant(0, INT64)), BOOL)
    return Apply(logical_and, (low, Apply(less, (place, Constant(size, INT64)), BOOL)), BOOL)
