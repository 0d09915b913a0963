"""Sorting, partitioning and searching.

The k-th order statistic is the difference of two convex functions (the sum of the k least and of the k-1 least), and
where elements tie, every way of numbering them is a valid derivative. The mean of all these ways is the one that
prefers no element, and the shortest: sorted tangents are averaged over each run of equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.primitives.kinds import linear, nondifferentiable, nonlinear, shape_of, tangent_dtype
from funcgrad.primitives.structural import broadcast_to, cast, moveaxis, reshape

Rule = Callable[..., Any]


def _batch(this: Callable[[], Primitive]) -> Rule:
    """Batching of a primitive that works along `axis`, its operands all of one shape."""

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
        rows = [
            broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
            for x, dim in zip(xs, dims, strict=True)
        ]
        return bind(this(), *rows, **{**params, "axis": params["axis"] + 1}), 0

    return batch


# reorder: y = the elements of x in the given order, averaged over ties ----------------------------------------------
#
# With the permutation P and the averaging T (a symmetric projection) y = T P x; the inverse is also the transpose.


def _average_ties(y: Any, values: Any) -> Any:
    """y with each run of equal `values` along the last axis replaced by its mean."""
    same = values[..., 1:] == values[..., :-1]
    if not np.logical_or.reduce(same, None):
        return y
    starts = np.ones(values.shape, np.bool_)
    np.logical_not(same, out=starts[..., 1:])
    (first,) = np.nonzero(starts.ravel())
    length = np.diff(first, append=values.size)
    mean = np.add.reduceat(y.ravel(), first) / length
    return np.repeat(mean, length).reshape(y.shape).astype(y.dtype)


def _reorder_implementation(x: Any, order: Any, values: Any, axis: int, inverse: bool) -> Any:
    if x.ndim == 1:
        if not inverse:
            return _average_ties(x[order], values)
        y = np.empty(x.shape, x.dtype)
        y[order] = _average_ties(x, values)
        return y
    x, order, values = (np.moveaxis(array, axis, -1) for array in (x, order, values))
    if inverse:
        y = np.empty(x.shape, x.dtype)
        np.put_along_axis(y, order, _average_ties(x, values), -1)
    else:
        y = _average_ties(np.take_along_axis(x, order, -1), values)
    return np.moveaxis(y, -1, axis)


reorder_p: Primitive = linear(
    "reorder",
    implementation=_reorder_implementation,
    abstract=lambda x, order, values, axis, inverse: ShapedArray(x.shape, x.dtype),
    transpose=lambda ct, x, order, values, axis, inverse: reorder(ct, order, values, axis, not inverse),
    batch=_batch(lambda: reorder_p),
)


def reorder(x: Any, order: Any, values: Any, axis: int, inverse: bool = False) -> Any:
    """x in the order of the indices `order` along an axis, averaged over each run of equal `values`.

    Args:
        x: What is carried along: tangents, say.
        order: Which element of x comes at each place.
        values: The sorted values, at those places.
        axis: Counted from the front.
        inverse: Whether to average first and then put each element back where `order` took it from.
    """
    return bind(reorder_p, x, order, values, axis=axis, inverse=inverse)


# sort: y[0] <= y[1] <= ..., NaN last --------------------------------------------------------------------------------

sort_p: Primitive = nonlinear(
    "sort",
    implementation=lambda x, axis: np.sort(x, axis),
    abstract=lambda x, axis: ShapedArray(x.shape, x.dtype),
    tangents=(lambda x_dot, y, x, axis: reorder(x_dot, argsort(x, axis), y, axis),),
    batch=_batch(lambda: sort_p),
)


def sort(x: Any, axis: int) -> Any:
    """x in ascending order along an axis, NaN last.

    Derivative: goes along with the elements; equal elements share theirs evenly.
    """
    return bind(sort_p, x, axis=axis)


# argsort: the indices that sort -------------------------------------------------------------------------------------

argsort_p: Primitive = nondifferentiable(
    "argsort",
    implementation=lambda x, axis, kind: np.argsort(x, axis, kind),
    abstract=lambda x, axis, kind: ShapedArray(x.shape, np.intp),
    batch=_batch(lambda: argsort_p),
)


def argsort(x: Any, axis: int, kind: str | None = "stable") -> Any:
    """The indices that sort x along an axis, in NumPy's `kind` of sort."""
    return bind(argsort_p, x, axis=axis, kind=kind)


# partition: the elements at the places `kth` are those of the sorted array, smaller ones before them ----------------


def _partition_tangent(x_dot: Any, y: Any, x: Any, axis: int, kth: tuple[int, ...]) -> Any:
    """Sorted, and then to where y has them: both x and y hold the same elements."""
    values = sort(y, axis)
    ranked = reorder(x_dot, argsort(x, axis), values, axis)
    return reorder(ranked, argsort(y, axis), values, axis, inverse=True)


partition_p: Primitive = nonlinear(
    "partition",
    implementation=lambda x, axis, kth: np.partition(x, np.array(kth, np.intp), axis),
    abstract=lambda x, axis, kth: ShapedArray(x.shape, x.dtype),
    tangents=(_partition_tangent,),
    batch=_batch(lambda: partition_p),
)


def partition(x: Any, kth: tuple[int, ...], axis: int) -> Any:
    """x rearranged along an axis so that the elements at `kth` are where sorting puts them.

    Derivative: goes along with the elements; equal elements share theirs evenly.
    """
    return bind(partition_p, x, axis=axis, kth=kth)


# argpartition: the indices that partition ---------------------------------------------------------------------------

argpartition_p: Primitive = nondifferentiable(
    "argpartition",
    implementation=lambda x, axis, kth: np.argpartition(x, np.array(kth, np.intp), axis),
    abstract=lambda x, axis, kth: ShapedArray(x.shape, np.intp),
    batch=_batch(lambda: argpartition_p),
)


def argpartition(x: Any, kth: tuple[int, ...], axis: int) -> Any:
    """The indices that partition x along an axis."""
    return bind(argpartition_p, x, axis=axis, kth=kth)


# lexsort: the indices that sort by several keys, the last one first -------------------------------------------------


def _lexsort_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    rows = [
        broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
        for x, dim in zip(xs, dims, strict=True)
    ]
    return bind(lexsort_p, *rows, axis=params["axis"] + 1), 0


lexsort_p = nondifferentiable(
    "lexsort",
    implementation=lambda *keys, axis: np.lexsort(keys, axis),
    abstract=lambda *keys, axis: ShapedArray(keys[0].shape, np.intp),
    batch=_lexsort_batch,
)


def lexsort(keys: Sequence[Any], axis: int) -> Any:
    """The indices that sort along an axis by the last key, among its equals by the one before it, and so on."""
    return bind(lexsort_p, *keys, axis=axis)


# searchsorted: how many elements of a sorted vector come before each value -------------------------------------------


def _searchsorted_implementation(x: Any, v: Any, side: Any) -> Any:
    if np.ndim(x) == 1:
        return np.searchsorted(x, v, side)
    # Rows, each a sorted vector with its own values: what `vmap` asks for.
    rows = [np.searchsorted(row, values, side) for row, values in zip(x, v, strict=True)]
    return np.stack(rows) if rows else np.zeros(v.shape, np.intp)


def _searchsorted_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    (x, v), (x_dim, v_dim) = xs, dims
    if x_dim is None and len(shape_of(x)) == 1:
        return bind(searchsorted_p, x, v, **params), v_dim  # type: ignore[return-value]
    x, v = (
        broadcast_to(array, (size, *shape_of(array))) if dim is None else moveaxis(array, dim, 0)
        for array, dim in zip(xs, dims, strict=True)
    )
    if len(shape_of(x)) == 2:
        return bind(searchsorted_p, x, v, **params), 0
    # Rows of rows: one row each.
    outer = shape_of(x)[:2]
    y = bind(searchsorted_p, merge_rows(x), merge_rows(v), **params)
    return reshape(y, (*outer, *shape_of(y)[1:])), 0


def merge_rows(x: Any) -> Any:
    """x with its first two axes made one."""
    rows, columns, *rest = shape_of(x)
    return reshape(x, (rows * columns, *rest))


searchsorted_p = nondifferentiable(
    "searchsorted",
    implementation=_searchsorted_implementation,
    abstract=lambda x, v, side: ShapedArray(v.shape, np.intp),
    batch=_searchsorted_batch,
)


def searchsorted(x: Any, v: Any, side: str = "left") -> Any:
    """For each of the values v its place in the sorted vector x, before its equals or (`right`) behind them."""
    return bind(searchsorted_p, x, v, side=side)


# bincount: y[k] = the sum of the weights whose bin is k -------------------------------------------------------------


def _bincount_implementation(bins: Any, weights: Any, length: int) -> Any:
    if np.ndim(weights) == 1:
        return np.bincount(bins, weights, length)
    # Rows: one long vector of bins, a stretch of `length` to each row.
    rows = len(weights)
    places = bins + np.arange(rows)[:, None] * length
    return np.bincount(places.ravel(), weights.ravel(), rows * length).reshape(rows, length)


def _bincount_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    bins, weights = (
        broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
        for x, dim in zip(xs, dims, strict=True)
    )
    if len(shape_of(weights)) == 2:
        return bind(bincount_p, bins, weights, **params), 0
    outer = shape_of(weights)[:2]
    y = bind(bincount_p, merge_rows(bins), merge_rows(weights), **params)
    return reshape(y, (*outer, params["length"])), 0


def _bincount_transpose(ct: Any, bins: Any, weights: Any, length: int) -> Any:
    if len(shape_of(weights)) == 1:
        x_ct = ct[bins]
    else:
        rows = shape_of(weights)[0]
        x_ct = reshape(ct, (rows * length,))[bins + np.arange(rows)[:, None] * length]
    return cast(x_ct, tangent_dtype(weights))


bincount_p = linear(
    "bincount",
    implementation=_bincount_implementation,
    abstract=lambda bins, weights, length: ShapedArray((*weights.shape[:-1], length), np.float64),
    transpose=_bincount_transpose,
    batch=_bincount_batch,
    wrt=(1,),
)


def bincount(bins: Any, weights: Any, length: int) -> Any:
    """For each bin the sum, in double precision, of the weights that fall into it.

    Args:
        bins: A vector of integers from 0 to length - 1.
        weights: A vector, as long.
        length: The number of bins, static.
    """
    return bind(bincount_p, bins, weights, length=length)
