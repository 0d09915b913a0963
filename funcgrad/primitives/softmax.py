"""softmax and logsumexp: the smooth relatives of argmax and max."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind
from funcgrad.kernels.exponentials import LARGE, logsumexp_rows, softmax_rows
from funcgrad.primitives.kinds import nonlinear
from funcgrad.primitives.reductions import reduction, shifted_axes
from funcgrad.primitives.structural import reduce_sum, reduced_shape

Shape = tuple[int, ...]

# NumPy's stubs do not know the positional parameters: array, axis, dtype, out, keepdims, initial, where.
_sum: Any = np.add.reduce
_max: Any = np.maximum.reduce
_min: Any = np.minimum.reduce
_logaddexp: Any = np.logaddexp.reduce

# Both subtract the greatest element first. The short way does only that; a result that is not a number, or (for
# logsumexp) so near 0 that the rounding of a sum near 1 would show, sends them the long way.


def _exponentials(x: Any, axes: Shape) -> tuple[Any, Any]:
    """exp(x - top) with the greatest element `top`; where that is infinite, 1 for +inf and 0 for all others."""
    top = _max(x, axes, None, None, True, -np.inf)
    with np.errstate(invalid="ignore"):
        difference = x - top
    e = np.exp(np.where(np.isinf(top), np.where(x == np.inf, 0.0, -np.inf), difference))
    return e.astype(x.dtype), top


# softmax: y = exp(x) / sum(exp(x)) ----------------------------------------------------------------------------------


def _softmax_implementation(x: Any, axes: Shape) -> Any:
    x = np.asarray(x)
    if x.size >= LARGE and axes == (x.ndim - 1,) and (y := softmax_rows(x)) is not None:
        return y
    with np.errstate(invalid="ignore"):
        e = np.asarray(x - _max(x, axes, None, None, True, -np.inf))
        np.exp(e, e)
        total = _sum(e, axes, None, None, True)
        certain = _min(total, None, None, None, False, 1) >= 1
    if not certain:
        e, _ = _exponentials(x, axes)
        total = _sum(e, axes, None, None, True)
        total += total == 0
    return e / total


def _softmax_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return softmax(xs[0], shifted_axes(params["axes"], dims[0])), dims[0]


softmax_p = nonlinear(
    "softmax",
    implementation=_softmax_implementation,
    abstract=lambda x, axes: ShapedArray(x.shape, x.dtype),
    tangents=(lambda x_dot, y, x, axes: y * (x_dot - reduce_sum(y * x_dot, axes, True)),),
    batch=_softmax_batch,
)


def softmax(x: Any, axes: Shape) -> Any:
    """exp(x) over its sum over some axes, for real x; never overflows.

    Minus infinity has weight 0, even among its like; plus infinities share weight 1.
    """
    return bind(softmax_p, x, axes=axes)


# logsumexp: y = log(sum(exp(x))) ------------------------------------------------------------------------------------


_NEAR_ZERO = 0.1


def _logsumexp_implementation(x: Any, axes: Shape, keepdims: bool) -> Any:
    x = np.asarray(x)
    if x.size >= LARGE and axes == (x.ndim - 1,) and (y := logsumexp_rows(x)) is not None:
        return y[..., None] if keepdims else y
    with np.errstate(invalid="ignore", divide="ignore"):
        top = _max(x, axes, None, None, True, -np.inf)
        e = np.asarray(x - top)
        y = np.log(_sum(np.exp(e, e), axes, None, None, True)) + top
        certain = _min(np.abs(y), None, None, None, False, 1) >= _NEAR_ZERO
    if not certain:
        y = _careful_logsumexp(x, axes)
    return y if keepdims else y.reshape(reduced_shape(x.shape, axes, False))[()]


def _careful_logsumexp(x: Any, axes: Shape) -> Any:
    e, top = _exponentials(x, axes)
    # The greatest terms are 1 each: the others are summed without them, so that log1p sees them to full precision.
    first = e == 1
    others = _sum(np.where(first, 0, e).astype(e.dtype), axes, None, None, True)
    count = _sum(first, axes, e.dtype, None, True)
    count += count == 0
    return np.log1p(others / count) + np.log(count) + top


logsumexp_p = reduction(
    "logsumexp",
    implementation=_logsumexp_implementation,
    abstract=lambda x, axes, keepdims: ShapedArray(reduced_shape(x.shape, axes, keepdims), x.dtype),
    partial=lambda t, y, x, axes: t * softmax(x, axes),
)


def logsumexp(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over some axes, for real x; never overflows, and minus infinity for no elements.

    Derivative: the softmax of x: zero for minus infinity; plus infinities share 1 evenly.

    Reference:
        Blanchard, Higham, Higham: Accurately computing the log-sum-exp and softmax functions (2021).
    """
    return bind(logsumexp_p, x, axes=axes, keepdims=keepdims)


# logaddexp_reduce: the same, summed pair by pair as NumPy's ufunc does -----------------------------------------------


def _logaddexp_abstract(x: ShapedArray, axes: Shape, keepdims: bool) -> ShapedArray:
    dtype = np.logaddexp.resolve_dtypes((x.dtype, x.dtype, None))[-1]
    return ShapedArray(reduced_shape(x.shape, axes, keepdims), dtype)


logaddexp_reduce_p = reduction(
    "logaddexp_reduce",
    implementation=lambda x, axes, keepdims: _logaddexp(x, axes, None, None, keepdims),
    abstract=_logaddexp_abstract,
    partial=lambda t, y, x, axes: t * softmax(x, axes),
)


def logaddexp_reduce(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """`np.logaddexp.reduce`: logsumexp, slower and less accurate than `logsumexp`, but NumPy's value bit for bit."""
    return bind(logaddexp_reduce_p, x, axes=axes, keepdims=keepdims)
