"""NumPy's reductions of traced arrays: sum, prod, max, min, ptp, any, all, argmax, argmin, count_nonzero.

A function and the array method of its name share one definition: their parameters come in the same order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind_unary
from funcgrad.core.tracing import Tracer, concrete
from funcgrad.numpy.arrays import as_array, put_into
from funcgrad.numpy.protocol import implements, method, ufunc_methods
from funcgrad.primitives import arithmetic, exponential, extrema, reductions, softmax
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import broadcast_to, cast, reduce_sum, reduce_sum_p, reduced_shape, reshape

Shape = tuple[int, ...]

# What NumPy itself puts for an argument that was not given.
NOTHING: Any = np._NoValue
ALL_AXES: tuple[Shape, ...] = tuple(tuple(range(rank)) for rank in range(65))


def reduced_axes(axis: Any, rank: int) -> Shape:
    """`axis` as ufuncs' `reduce` understands it, as axes counted from the front."""
    if axis is None:
        return ALL_AXES[rank]
    if type(axis) is int:
        if 0 <= axis < rank:
            return (axis,)
        if -rank <= axis < 0:
            return (axis + rank,)
    # Anything else, right or wrong, is for NumPy to judge.
    np.add.reduce(np.empty((1,) * rank), axis=axis)
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(operator.index(i) % rank for i in axes)) if rank else ()


def stand_in(x: Any) -> Any:
    """A plain array of x's shape and dtype in next to no memory, on which NumPy raises its own errors."""
    return np.broadcast_to(np.zeros((), x.dtype), x.shape)


def checked_mask(where: Any, a: Any, axis: Any) -> Any:
    """`where` as an operand.

    Raises:
        ValueError, TypeError: as NumPy, if it does not broadcast to a's shape or is not boolean.
    """
    where = as_array(where)
    if isinstance(where, bool):
        return np.bool_(where)
    if where.dtype != np.bool_ or np.broadcast_shapes(where.shape, a.shape) != a.shape:
        np.add.reduce(stand_in(a), axis=axis, where=stand_in(where))
    return where


def stored(y: Any, out: Any, ufunc_name: str) -> Any:
    """y as the result, or written to `out`.

    Raises:
        ValueError: as NumPy, if `out` has another shape.
    """
    if out is None:
        return y
    if out.shape != np.shape(y):
        raise ValueError(
            f"output parameter for reduction operation {ufunc_name} has the wrong shape: "
            f"Found {out.shape} but expected {np.shape(y)}"
        )
    return put_into(out, y)


def any_true(x: Any) -> bool:
    """Whether a condition holds somewhere, for a warning or an error; False where there is no value to look at."""
    value = concrete(x)
    if isinstance(value, np.ndarray):
        return bool(np.any(value))
    return isinstance(value, (bool, np.bool_)) and bool(value)


def _given(argument: Any, default: Any = None) -> bool:
    return argument is not NOTHING and argument is not default


def keeping(keepdims: Any) -> bool:
    """The flag, which may not have been given."""
    return keepdims is not NOTHING and bool(keepdims)


# Sums and products


@implements(np.sum)
@method("sum")
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Any:
    """np.sum."""
    if type(a) is Tracer and dtype is None and out is None and initial is NOTHING and where is NOTHING:
        if axis is None and keepdims is NOTHING:
            return bind_unary(reduce_sum_p, a)
        return bind_unary(reduce_sum_p, a, {"axes": reduced_axes(axis, len(a.shape)), "keepdims": keeping(keepdims)})
    a = as_array(a)
    dtype = _accumulator(dtype, out)
    if dtype is not None and dtype.kind in "biu" and a.dtype.kind in "fc":
        a = cast(a, dtype)
    axes, keep = reduced_axes(axis, a.ndim), keeping(keepdims)
    if _given(initial) or _given(where, True):
        mask = checked_mask(where, a, axis) if _given(where, True) else True
        y = reductions.masked_sum(a, axes, keep, dtype, _scalar(initial, a) if _given(initial) else 0, mask)
    else:
        y = reduce_sum(a, axes, keep, dtype)
    return stored(y, out, "add")


def _accumulator(dtype: Any, out: Any) -> np.dtype[Any] | None:
    """In which dtype to add: the one given, or else that of `out`."""
    if dtype is None:
        return None if out is None else out.dtype
    return np.dtype(dtype)


def _scalar(initial: Any, a: Any) -> Any:
    """`initial` as an operand.

    Raises:
        ValueError: as NumPy, if it is not a scalar.
    """
    if np.ndim(initial):
        np.add.reduce(np.empty(1, a.dtype), initial=stand_in(as_array(initial)))
    return as_array(initial)


@implements(np.prod)
@method("prod")
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Any:
    """np.prod."""
    a = as_array(a)
    dtype = _accumulator(dtype, out)
    if dtype is not None:
        a = cast(a, dtype)
    if _given(where, True):
        a = select(checked_mask(where, a, axis), a, 1)
    axes, keep = reduced_axes(axis, len(np.shape(a))), keeping(keepdims)
    if not _given(initial):
        y = reductions.reduce_prod(a, axes, keep)
    elif type(initial) is Tracer:
        y = initial * reductions.reduce_prod(a, axes, keep)
    else:
        y = reductions.reduce_prod(a, axes, keep, _scalar(initial, a))
    # Small integers were multiplied as larger ones; their product wraps around in the end as well as on the way.
    return stored(y if dtype is None else cast(y, dtype), out, "multiply")


# The greatest and the least


def _extremum(
    reduce: Callable[..., Any], ufunc: np.ufunc, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any
) -> Any:
    a = as_array(a)
    axes, keep = reduced_axes(axis, len(np.shape(a))), keeping(keepdims)
    masked = _given(where, True)
    if not masked and not _given(initial):
        return stored(reduce(a, axes, keep), out, ufunc.__name__)
    if not _given(initial):
        ufunc.reduce(stand_in(a), axis=axis, where=stand_in(as_array(where)))  # raises: the maximum of nothing?
    initial = cast(_scalar(initial, a), a.dtype)
    if masked:
        a = select(checked_mask(where, a, axis), a, initial)
    if any(a.shape[i] == 0 for i in axes):
        return stored(broadcast_to(initial, reduced_shape(a.shape, axes, keep)), out, ufunc.__name__)
    combine = arithmetic.maximum if ufunc is np.maximum else arithmetic.minimum
    return stored(combine(reduce(a, axes, keep), initial), out, ufunc.__name__)


@implements(np.max, np.amax)
@method("max")
def max_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, initial: Any = NOTHING, where: Any = NOTHING
) -> Any:
    """np.max."""
    return _extremum(extrema.reduce_max, np.maximum, a, axis, out, keepdims, initial, where)


@implements(np.min, np.amin)
@method("min")
def min_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, initial: Any = NOTHING, where: Any = NOTHING
) -> Any:
    """np.min."""
    return _extremum(extrema.reduce_min, np.minimum, a, axis, out, keepdims, initial, where)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING) -> Any:
    """np.ptp."""
    a = as_array(a)
    axes, keep = reduced_axes(axis, a.ndim), keeping(keepdims)
    return stored(extrema.reduce_max(a, axes, keep) - extrema.reduce_min(a, axes, keep), out, "maximum")


# Where, whether, how many


def _argument(f: Callable[..., Any], numpy_function: Any, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    a, keep = as_array(a), keeping(keepdims)
    shape: Shape = np.shape(a)
    if axis is None or not shape:
        numpy_function(np.empty((1,) * len(shape)), axis=axis)
        y = f(reshape(a, (a.size,)), 0)
        y = reshape(y, (1,) * len(shape)) if keep else y
    else:
        if type(axis) is not int or not 0 <= axis < len(shape):
            numpy_function(np.empty((1,) * len(shape)), axis=axis)
            axis = operator.index(axis) % len(shape)
        y = f(a, axis, keep)
    return stored(y, out, numpy_function.__name__)


@implements(np.argmax)
@method("argmax")
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Any:
    """np.argmax."""
    return _argument(extrema.argmax, np.argmax, a, axis, out, keepdims)


@implements(np.argmin)
@method("argmin")
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Any:
    """np.argmin."""
    return _argument(extrema.argmin, np.argmin, a, axis, out, keepdims)


@implements(np.any)
@method("any")
def any_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, *, where: Any = NOTHING) -> Any:
    """np.any."""
    a = as_array(a)
    if _given(where, True):
        a = select(checked_mask(where, a, axis), a, False)
    return stored(extrema.reduce_any(a, reduced_axes(axis, a.ndim), keeping(keepdims)), out, "logical_or")


@implements(np.all)
@method("all")
def all_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOTHING, *, where: Any = NOTHING) -> Any:
    """np.all."""
    a = as_array(a)
    if _given(where, True):
        a = select(checked_mask(where, a, axis), a, True)
    return stored(extrema.reduce_all(a, reduced_axes(axis, a.ndim), keeping(keepdims)), out, "logical_and")


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.count_nonzero."""
    a = as_array(a)
    return extrema.count_nonzero(a, reduced_axes(axis, a.ndim), keeping(keepdims))


# Ufuncs' own method: np.add.reduce and its like


def _logaddexp(a: Any, axis: Any, dtype: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    a = as_array(a) if dtype is None else cast(as_array(a), dtype)
    if _given(where, True):
        a = select(checked_mask(where, a, axis), a, -np.inf)
    y = softmax.logaddexp_reduce(a, reduced_axes(axis, a.ndim), keeping(keepdims))
    return stored(exponential.logaddexp(y, initial) if _given(initial) else y, out, "logaddexp")


def _without_dtype(f: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(a: Any, axis: Any, dtype: Any, *rest: Any) -> Any:
        return f(a if dtype is None else cast(as_array(a), dtype), axis, *rest)

    return reduce


def _truth(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, axis, dtype, out, keepdims, initial, where: f(a, axis, out, keepdims, where=where)


_REDUCE: dict[np.ufunc, Callable[..., Any]] = {
    np.add: sum_,
    np.multiply: prod,
    np.maximum: _without_dtype(max_),
    np.minimum: _without_dtype(min_),
    np.logical_or: _truth(any_),
    np.logical_and: _truth(all_),
    np.logaddexp: _logaddexp,
}


def _reduce(
    ufunc: np.ufunc,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = True,
) -> Any:
    (out,) = out or (None,)
    return _REDUCE[ufunc](a, axis, dtype, out, keepdims, initial, where)


ufunc_methods.update({(ufunc, "reduce"): _reduce for ufunc in _REDUCE})
