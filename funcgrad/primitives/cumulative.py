"""Running sums, products and extrema along one axis.

Products divide nowhere, so that zeros are exact at every order: their derivatives are solutions of the recurrence
z[k+1] = x[k] z[k] + b[k], a primitive that differentiates into itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import Primitive, bind
from funcgrad.kernels import recurrences
from funcgrad.primitives.kinds import linear, nondifferentiable, nonlinear, shape_of
from funcgrad.primitives.structural import broadcast_to, moveaxis

Rule = Callable[..., Any]


def _batch(this: Callable[[], Primitive]) -> Rule:
    """Batching of a primitive that works along `axis`, its operands all of one shape."""

    def batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, Any]:
        front = next(dim for dim in dims if dim is not None)
        rows = [
            broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
            for x, dim in zip(xs, dims, strict=True)
        ]
        if len(xs) == 1:
            rows, out = list(xs), front
        else:
            out = 0
        primitive = this()
        y = bind(primitive, *rows, **{**params, "axis": params["axis"] + (params["axis"] >= out)})
        return y, (out,) * len(y) if primitive.multiple_results else out

    return batch


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """The index that takes `part` of an axis and everything of the axes before it."""
    return (*(slice(None),) * axis, part)


_BACKWARDS = slice(None, None, -1)


def _accumulate(ufunc: np.ufunc, x: Any, axis: int, reverse: bool) -> Any:
    if not reverse:
        return ufunc.accumulate(x, axis)
    backwards = along(axis, _BACKWARDS)
    return ufunc.accumulate(x[backwards], axis)[backwards]


# cumsum: y[k] = x[0] + ... + x[k] -----------------------------------------------------------------------------------


def _cumsum_abstract(x: ShapedArray, axis: int, reverse: bool) -> ShapedArray:
    return ShapedArray(x.shape, np.add.accumulate(np.empty(0, x.dtype)).dtype)


cumsum_p: Primitive = linear(
    "cumsum",
    implementation=lambda x, axis, reverse: _accumulate(np.add, x, axis, reverse),
    abstract=_cumsum_abstract,
    transpose=lambda ct, x, axis, reverse: cumsum(ct, axis, not reverse),
    batch=_batch(lambda: cumsum_p),
    structural=True,
)


def cumsum(x: Any, axis: int, reverse: bool = False) -> Any:
    """The running sum along an axis, from its start or, `reverse`, from its end."""
    return bind(cumsum_p, x, axis=axis, reverse=reverse)


# recurrence: z[0] = 0, z[k+1] = x[k] z[k] + b[k], of which z[0], ..., z[n-1] are returned ---------------------------
#
# It is linear in b, and transposing that map runs the same recurrence from the other end. A change of x acts as the
# change x_dot * z of b. So jvp, vjp and all orders are the primitive itself.


def _recurrence_abstract(x: ShapedArray, b: ShapedArray, axis: int, reverse: bool) -> ShapedArray:
    return ShapedArray(x.shape, np.result_type(x.dtype, b.dtype))


def _recurrence_jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: dict[str, Any]) -> Any:
    x_dot, b_dot = tangents
    if x_dot is None:
        change = b_dot
    else:
        change = x_dot * y if b_dot is None else x_dot * y + b_dot
    return bind(recurrence_p, xs[0], change, **params)


def _recurrence_vjp(
    ct: Any, y: Any, xs: Sequence[Any], ids: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, Any]:
    b_ct = recurrence(xs[0], ct, params["axis"], not params["reverse"])
    return None if ids[0] is None else b_ct * y, b_ct


recurrence_p: Primitive = Primitive(
    "recurrence",
    implementation=recurrences.recurrence,
    abstract=_recurrence_abstract,
    jvp=_recurrence_jvp,
    vjp=_recurrence_vjp,
    batch=_batch(lambda: recurrence_p),
    is_linear=lambda active: active == [1],
)


def recurrence(x: Any, b: Any, axis: int, reverse: bool = False) -> Any:
    """z with z[0] = 0 and z[k+1] = x[k] z[k] + b[k] along an axis, or, `reverse`, from its end.

    Args:
        x: The factors, of b's shape and dtype.
        b: What is added in each step; what comes after the last step is not part of the result.
    """
    return bind(recurrence_p, x, b, axis=axis, reverse=reverse)


# cumprod: y[k] = x[0] ... x[k] --------------------------------------------------------------------------------------


def _cumprod_abstract(x: ShapedArray, axis: int) -> ShapedArray:
    return ShapedArray(x.shape, np.multiply.accumulate(np.empty(0, x.dtype)).dtype)


def _cumprod_tangent(x_dot: Any, y: Any, x: Any, axis: int) -> Any:
    """The recurrence y[k] = x[k] y[k-1], differentiated: exact with zeros, at every order."""
    b = x_dot * exclusive_cumprod(x, axis)
    return x * recurrence(x, b, axis) + b


cumprod_p: Primitive = nonlinear(
    "cumprod",
    implementation=lambda x, axis: np.multiply.accumulate(x, axis),
    abstract=_cumprod_abstract,
    tangents=(_cumprod_tangent,),
    batch=_batch(lambda: cumprod_p),
)


def cumprod(x: Any, axis: int) -> Any:
    """The running product along an axis.

    Derivative: exact where elements are zero, at every order.
    """
    return bind(cumprod_p, x, axis=axis)


# exclusive_cumprod: y[0] = 1, y[k] = x[0] ... x[k-1] ----------------------------------------------------------------


def _exclusive_cumprod_implementation(x: Any, axis: int, reverse: bool) -> Any:
    y = np.ones(x.shape, x.dtype)
    if reverse:
        ys, xs = y[along(axis, slice(-2, None, -1))], x[along(axis, slice(None, 0, -1))]
    else:
        ys, xs = y[along(axis, slice(1, None))], x[along(axis, slice(None, -1))]
    if ys.size:
        np.multiply.accumulate(xs, axis, None, ys)
    return y


exclusive_cumprod_p: Primitive = nonlinear(
    "exclusive_cumprod",
    implementation=_exclusive_cumprod_implementation,
    abstract=lambda x, axis, reverse: ShapedArray(x.shape, x.dtype),
    tangents=(lambda x_dot, y, x, axis, reverse: recurrence(x, x_dot * y, axis, reverse),),
    batch=_batch(lambda: exclusive_cumprod_p),
)


def exclusive_cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """For each element the product of those before it along an axis or, `reverse`, of those behind it."""
    return bind(exclusive_cumprod_p, x, axis=axis, reverse=reverse)


# cummax, cummin: y[k] = the greatest (least) of x[0], ..., x[k] -----------------------------------------------------


def _runs_implementation(x: Any, y: Any, axis: int) -> tuple[Any, Any, Any]:
    hit = (x == y) | ((x != x) & (y != y))
    before, after = y[along(axis, slice(None, -1))], y[along(axis, slice(1, None))]
    continues = np.zeros(x.shape, np.bool_)
    continues[along(axis, slice(1, None))] = (before == after) | ((before != before) & (after != after))
    # The number of hits since the run began: those up to here less those before the run's first element.
    position = np.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - axis - 1))
    first = np.maximum.accumulate(np.where(continues, 0, position), axis)
    total = np.add.accumulate(hit, axis)
    count = total - np.take_along_axis(total - hit, first, axis)
    dtype = x.real.dtype
    return hit.astype(dtype), continues.astype(dtype), count.astype(dtype)


def _runs_abstract(x: ShapedArray, y: ShapedArray, axis: int) -> tuple[ShapedArray, ...]:
    return (ShapedArray(x.shape, np.empty(0, x.dtype).real.dtype),) * 3


runs_p: Primitive = nondifferentiable(
    "runs",
    implementation=_runs_implementation,
    abstract=_runs_abstract,
    batch=_batch(lambda: runs_p),
    multiple_results=True,
)


def _cumulative_extremum_tangent(x_dot: Any, y: Any, x: Any, axis: int) -> Any:
    """The mean tangent of the elements so far that attain the extremum; a NaN is attained by the NaNs.

    In a run of equal results these are the run's elements equal to it, so a running sum that starts afresh with each
    run, a recurrence with factors 0 and 1, adds nothing that would cancel.
    """
    hit, continues, count = bind(runs_p, x, y, axis=axis)
    b = x_dot * hit
    return (continues * recurrence(continues, b, axis) + b) / count


def _cumulative_extremum(name: str, ufunc: np.ufunc) -> Primitive:
    primitive = nonlinear(
        name,
        implementation=lambda x, axis: ufunc.accumulate(x, axis),
        abstract=lambda x, axis: ShapedArray(x.shape, x.dtype),
        tangents=(_cumulative_extremum_tangent,),
        batch=_batch(lambda: primitive),
    )
    return primitive


cummax_p = _cumulative_extremum("cummax", np.maximum)
cummin_p = _cumulative_extremum("cummin", np.minimum)


def cummax(x: Any, axis: int) -> Any:
    """The greatest element so far along an axis.

    Derivative: split evenly among the elements so far that attain it.
    """
    return bind(cummax_p, x, axis=axis)


def cummin(x: Any, axis: int) -> Any:
    """The least element so far along an axis.

    Derivative: split evenly among the elements so far that attain it.
    """
    return bind(cummin_p, x, axis=axis)
