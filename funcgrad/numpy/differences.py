"""NumPy's functions of neighbouring samples: diff, ediff1d, gradient, trapezoid, interp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, converted
from funcgrad.numpy.indexing import take
from funcgrad.numpy.joining import concatenate
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.views import ravel
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import slice_axis
from funcgrad.primitives.structural import broadcast_to, cast, reshape

NOTHING: Any = np._NoValue


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOTHING, append: Any = NOTHING) -> Any:
    """NumPy's diff."""
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = as_array(a)
    if not a.shape:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = normalize_axis_index(axis, len(a.shape))
    if prepend is not NOTHING or append is not NOTHING:
        parts = (_as_end(part, a.shape, axis) for part in (prepend, a, append) if part is not NOTHING)
        a = concatenate(list(parts), axis)
    for _ in range(n):
        upper, lower = slice_axis(a, axis, 1, None), slice_axis(a, axis, None, -1)
        a = upper != lower if a.dtype == np.bool_ else upper - lower
    return a


def _as_end(end: Any, shape: tuple[int, ...], axis: int) -> Any:
    end = as_array(end)
    return end if end.shape else broadcast_to(end, (*shape[:axis], 1, *shape[axis + 1 :]))


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """NumPy's ediff1d."""
    ary = ravel(ary)
    parts = [ary[1:] - ary[:-1]]
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        if end is not None:
            end = as_array(end)
            if not np.can_cast(end.dtype, ary.dtype, casting="same_kind"):
                text = f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule."
                raise TypeError(text)
            end = ravel(converted(end, ary.dtype))
            parts = [end, *parts] if name == "to_begin" else [*parts, end]
    return concatenate(parts) if len(parts) > 1 else parts[0]


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """NumPy's trapezoid."""
    y = as_array(y)
    axis = normalize_axis_index(axis, len(y.shape))
    steps = dx
    if x is not None:
        x = as_array(x)
        steps = diff(x, axis=axis) if len(x.shape) != 1 else reshape(diff(x), _along(y, axis, x.shape[0] - 1))
    return (steps * (slice_axis(y, axis, 1, None) + slice_axis(y, axis, None, -1)) / 2.0).sum(axis)


def _along(y: Any, axis: int, length: int) -> tuple[int, ...]:
    """The shape that puts a vector along one axis of y."""
    return tuple(length if i == axis else 1 for i in range(len(y.shape)))


# gradient ------------------------------------------------------------------------------------------------------------


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """NumPy's gradient.

    Traced distances are taken as they are: NumPy takes the formula for a uniform grid where all happen to be equal,
    which rounds differently and forgets what each of them does.
    """
    f = as_array(f)
    rank = len(f.shape)
    axes = tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank)
    spacings = _spacings(f, varargs, axes)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    if f.dtype.kind in "iu":
        f = converted(f, np.float64)
    results = []
    for i, spacing in zip(axes, spacings, strict=True):
        if f.shape[i] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, "
                "at least (edge_order + 1) elements are required."
            )
        edges = _first_order_edges if edge_order == 1 else _second_order_edges
        first, last = edges(f, spacing, i)
        dtype = f.dtype if f.dtype.kind in "fc" else np.dtype(np.float64)
        results.append(concatenate([cast(part, dtype) for part in (first, _interior(f, spacing, i), last)], i))
    return results[0] if len(axes) == 1 else tuple(results)


def _spacings(f: Any, varargs: Sequence[Any], axes: Sequence[int]) -> list[Any]:
    """For each axis the distance between samples, or all of them."""
    if not varargs:
        return [1.0] * len(axes)
    if len(varargs) == 1 and not as_array(varargs[0]).shape:
        return list(varargs) * len(axes)
    if len(varargs) != len(axes):
        raise TypeError("invalid number of arguments")
    return [_spacing(x, f.shape[axis]) for x, axis in zip(varargs, axes, strict=True)]


def _spacing(x: Any, length: int) -> Any:
    positions = as_array(x)
    if not positions.shape:
        return x
    if len(positions.shape) != 1:
        raise ValueError("distances must be either scalars or 1d")
    if positions.shape[0] != length:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if positions.dtype.kind in "iu":
        positions = converted(positions, np.float64)
    distances = diff(positions)
    uniform = type(distances) is not Tracer and bool((distances == distances[0]).all())
    return distances[0] if uniform else distances


def _interior(f: Any, spacing: Any, axis: int) -> Any:
    before, here, behind = (slice_axis(f, axis, i, n) for i, n in ((None, -2), (1, -1), (2, None)))
    if not getattr(spacing, "shape", ()):
        return (behind - before) / (2.0 * spacing)
    dx1, dx2 = spacing[:-1], spacing[1:]
    shape = _along(f, axis, f.shape[axis] - 2)
    a = reshape(-(dx2) / (dx1 * (dx1 + dx2)), shape)
    b = reshape((dx2 - dx1) / (dx1 * dx2), shape)
    c = reshape(dx1 / (dx2 * (dx1 + dx2)), shape)
    return a * before + b * here + c * behind


def _first_order_edges(f: Any, spacing: Any, axis: int) -> tuple[Any, Any]:
    n = f.shape[axis]
    first, last = (spacing[0], spacing[-1]) if getattr(spacing, "shape", ()) else (spacing, spacing)
    return (
        (slice_axis(f, axis, 1, 2) - slice_axis(f, axis, 0, 1)) / first,
        (slice_axis(f, axis, n - 1, n) - slice_axis(f, axis, n - 2, n - 1)) / last,
    )


def _second_order_edges(f: Any, spacing: Any, axis: int) -> tuple[Any, Any]:
    n = f.shape[axis]
    f0, f1, f2 = (slice_axis(f, axis, i, i + 1) for i in range(3))
    g0, g1, g2 = (slice_axis(f, axis, n - i, n - i + 1) for i in (3, 2, 1))
    if not getattr(spacing, "shape", ()):
        first = -1.5 / spacing * f0 + 2.0 / spacing * f1 + -0.5 / spacing * f2
        return first, 0.5 / spacing * g0 + -2.0 / spacing * g1 + 1.5 / spacing * g2
    dx1, dx2 = spacing[0], spacing[1]
    a = -(2.0 * dx1 + dx2) / (dx1 * (dx1 + dx2))
    b = (dx1 + dx2) / (dx1 * dx2)
    c = -dx1 / (dx2 * (dx1 + dx2))
    first = a * f0 + b * f1 + c * f2
    dx1, dx2 = spacing[-2], spacing[-1]
    a = dx2 / (dx1 * (dx1 + dx2))
    b = -(dx2 + dx1) / (dx1 * dx2)
    c = (2.0 * dx2 + dx1) / (dx2 * (dx1 + dx2))
    return first, a * g0 + b * g1 + c * g2


# interp --------------------------------------------------------------------------------------------------------------


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """NumPy's interp, differentiable in x, xp and fp.

    Derivative in x: at an inner sample the slope to its right, at the first and the last one zero.
    """
    fp = as_array(fp)
    x, xp = (converted(as_array(array), np.float64) for array in (x, xp))
    fp = converted(fp, np.complex128 if fp.dtype.kind == "c" else np.float64)
    if len(xp.shape) != 1 or len(fp.shape) != 1 or xp.shape != fp.shape or period == 0 or not xp.shape[0]:
        np.interp(0.0, np.broadcast_to(0.0, xp.shape), np.broadcast_to(0.0, fp.shape), period=period)
    if period is not None:
        left = right = None
        period = abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = concatenate((xp[-1:] - period, xp, xp[:1] + period))
        fp = concatenate((fp[-1:], fp, fp[:1]))
    first, last = xp[0], xp[-1]
    below = fp[0] if left is None else select(x < first, left, fp[0])
    above = fp[-1] if right is None else select(x > last, right, fp[-1])
    if len(xp) > 1:
        slopes = (fp[1:] - fp[:-1]) / (xp[1:] - xp[:-1])
        interval = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, len(xp) - 2)
        inside = take(slopes, interval) * (x - take(xp, interval)) + take(fp, interval)
    else:
        inside = x + fp[0]  # not a number: all others are below, above or at the sample
    return select(x <= first, below, select(x >= last, above, inside))
