"""The greatest and the least over axes, and the reductions that only ask: argmax, any, all, count_nonzero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.kinds import nondifferentiable, shape_of
from funcgrad.primitives.reductions import batch_over_axes, real_dtype, reduction, shifted_axes
from funcgrad.primitives.structural import batch_to_rank, broadcast_to, reduced_shape

Rule = Callable[..., Any]
Shape = tuple[int, ...]

# NumPy's stubs do not know the positional parameters: array, axis, dtype, out, keepdims, initial, where.
_sum: Any = np.add.reduce
_any: Any = np.logical_or.reduce
_all: Any = np.logical_and.reduce

# reduce_max, reduce_min: the greatest, the least over axes ----------------------------------------------------------


def _shares_implementation(x: Any, y: Any, axes: Shape) -> Any:
    hit = x == y
    count = _sum(hit, axes, np.intp, None, True)
    if not _all(count, None):
        hit = hit | (x != x)  # the extremum is NaN
        count = _sum(hit, axes, np.intp, None, True)
    return np.divide(hit, count, dtype=real_dtype(x))


def _shares_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    rank = len(shape_of(xs[0])) - (dims[0] is not None)
    x, y = (x if dim is None else batch_to_rank(x, dim, rank) for x, dim in zip(xs, dims, strict=True))
    if dims[0] is None:
        x = broadcast_to(x, (size, *shape_of(x)))
    return bind(shares_p, x, y, axes=shifted_axes(params["axes"], 0)), 0


shares_p = nondifferentiable(
    "shares",
    implementation=_shares_implementation,
    abstract=lambda x, y, axes: ShapedArray(x.shape, real_dtype(x)),
    batch=_shares_batch,
)


def shares(x: Any, y: Any, axes: Shape) -> Any:
    """For each element its share in an extremum y (which broadcasts): 1/n for each of the n that attain it, else 0.

    A NaN is attained by the NaNs.
    """
    return bind(shares_p, x, y, axes=axes)


def _extremum(name: str, ufunc: np.ufunc) -> Primitive:
    reduce: Any = ufunc.reduce

    def abstract(x: ShapedArray, axes: Shape, keepdims: bool) -> ShapedArray:
        if x.size == 0:
            reduce(np.empty(x.shape, x.dtype), axes)  # NumPy's error, where there is nothing to choose from
        return ShapedArray(reduced_shape(x.shape, axes, keepdims), x.dtype)

    return reduction(
        name,
        implementation=lambda x, axes, keepdims: reduce(x, axes, None, None, keepdims),
        abstract=abstract,
        partial=lambda t, y, x, axes: t * shares(x, y, axes),
    )


reduce_max_p = _extremum("reduce_max", np.maximum)
reduce_min_p = _extremum("reduce_min", np.minimum)


def reduce_max(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """The greatest element over some axes; NaN if there is one.

    Raises:
        ValueError: there is no element.

    Derivative: split evenly among the elements that attain it.
    """
    return bind(reduce_max_p, x, axes=axes, keepdims=keepdims)


def reduce_min(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """The least element over some axes; NaN if there is one.

    Raises:
        ValueError: there is no element.

    Derivative: split evenly among the elements that attain it.
    """
    return bind(reduce_min_p, x, axes=axes, keepdims=keepdims)


# argmax, argmin: where the first of the greatest (least) is ---------------------------------------------------------


def _argument(name: str, function: Rule) -> Primitive:
    def abstract(x: ShapedArray, axes: Shape, keepdims: bool) -> ShapedArray:
        if x.size == 0:
            function(np.empty(x.shape, x.dtype), axis=axes[0])
        return ShapedArray(reduced_shape(x.shape, axes, keepdims), np.intp)

    primitive = nondifferentiable(
        name,
        implementation=lambda x, axes, keepdims: function(x, axis=axes[0], keepdims=keepdims),
        abstract=abstract,
        batch=batch_over_axes(lambda: primitive),
    )
    return primitive


argmax_p = _argument("argmax", np.argmax)
argmin_p = _argument("argmin", np.argmin)


def argmax(x: Any, axis: int, keepdims: bool = False) -> Any:
    """The index of the greatest element along an axis, the first of several; of the first NaN, if there is one."""
    return bind(argmax_p, x, axes=(axis,), keepdims=keepdims)


def argmin(x: Any, axis: int, keepdims: bool = False) -> Any:
    """The index of the least element along an axis, the first of several; of the first NaN, if there is one."""
    return bind(argmin_p, x, axes=(axis,), keepdims=keepdims)


# reduce_any, reduce_all, count_nonzero ------------------------------------------------------------------------------


def _truth(name: str, implementation: Rule, dtype: Any) -> Primitive:
    primitive = nondifferentiable(
        name,
        implementation=implementation,
        abstract=lambda x, axes, keepdims: ShapedArray(reduced_shape(x.shape, axes, keepdims), dtype),
        batch=batch_over_axes(lambda: primitive),
    )
    return primitive


reduce_any_p = _truth("reduce_any", lambda x, axes, keepdims: _any(x, axes, np.bool_, None, keepdims), np.bool_)
reduce_all_p = _truth("reduce_all", lambda x, axes, keepdims: _all(x, axes, np.bool_, None, keepdims), np.bool_)
count_nonzero_p = _truth(
    "count_nonzero", lambda x, axes, keepdims: np.count_nonzero(x, axes, keepdims=keepdims), np.intp
)


def reduce_any(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """Whether any element over some axes is true (not zero)."""
    return bind(reduce_any_p, x, axes=axes, keepdims=keepdims)


def reduce_all(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """Whether all elements over some axes are true (not zero)."""
    return bind(reduce_all_p, x, axes=axes, keepdims=keepdims)


def count_nonzero(x: Any, axes: Shape, keepdims: bool = False) -> Any:
    """How many elements over some axes are not zero."""
    return bind(count_nonzero_p, x, axes=axes, keepdims=keepdims)
