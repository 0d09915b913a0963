"""Linear primitives that put elements together and apart: concatenate, stack, flip, roll, diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcgrad.core.avals import ShapedArray
from funcgrad.core.primitive import bind, bind_unary
from funcgrad.primitives.index import Index
from funcgrad.primitives.indexing import basic_index, embed
from funcgrad.primitives.kinds import linear, shape_of, tangent_dtype
from funcgrad.primitives.structural import Shape, broadcast_to, cast, moveaxis

_ndarray = np.ndarray  # looked up on the hot path


def slice_axis(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """`x[start:stop]` along one axis."""
    if type(x) is _ndarray:
        return x[(*(slice(None),) * axis, slice(start, stop))]
    shape = x.shape
    return basic_index(x, Index((*_whole(shape[:axis]), slice(start, stop).indices(shape[axis]))))


def _whole(shape: Shape) -> list[tuple[int, int, int]]:
    return [(0, n, 1) for n in shape]


def _common_dtype(xs: Sequence[ShapedArray]) -> np.dtype[Any]:
    dtype = xs[0].dtype
    return dtype if all(x.dtype is dtype for x in xs) else np.result_type(*[x.dtype for x in xs])


def _stand_ins(xs: Sequence[ShapedArray]) -> list[Any]:
    """Arrays of these shapes, for NumPy to refuse in its own words."""
    return [np.broadcast_to(np.zeros((), x.dtype), x.shape) for x in xs]


def _rows_in_front(size: int, xs: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    return [
        broadcast_to(x, (size, *shape_of(x))) if dim is None else moveaxis(x, dim, 0)
        for x, dim in zip(xs, dims, strict=True)
    ]


# concatenate: the operands one after the other along an axis ---------------------------------------------------------


def _concatenate_abstract(*xs: ShapedArray, axis: int) -> ShapedArray:
    first = xs[0].shape
    before, after = first[:axis], first[axis + 1 :]
    if any(len(x.shape) != len(first) or x.shape[:axis] != before or x.shape[axis + 1 :] != after for x in xs):
        np.concatenate(_stand_ins(xs), axis)
    return ShapedArray((*before, sum(x.shape[axis] for x in xs), *after), _common_dtype(xs))


def _concatenate_transpose(ct: Any, *xs: Any, axis: int) -> list[Any]:
    cts, start = [], 0
    for x in xs:
        stop = start + x.shape[axis]
        cts.append(cast(slice_axis(ct, axis, start, stop), x.dtype))
        start = stop
    return cts


def _concatenate_batch(
    size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]
) -> tuple[Any, int]:
    return concatenate(_rows_in_front(size, xs, dims), params["axis"] + 1), 0


concatenate_p = linear(
    "concatenate",
    implementation=lambda *xs, axis: np.concatenate(xs, axis),
    abstract=_concatenate_abstract,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    wrt=None,
    structural=True,
)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays that agree but for one axis (counted from the front), one after the other along it."""
    return xs[0] if len(xs) == 1 else bind(concatenate_p, *xs, axis=axis)


# stack: the operands side by side along a new axis -------------------------------------------------------------------


def _stack_implementation(*xs: Any, axis: int) -> Any:
    shape = shape_of(xs[0])
    if not shape:
        return np.array(xs)
    if axis == 0:
        return np.concatenate(xs).reshape(len(xs), *shape)
    row = (*shape[:axis], 1, *shape[axis:])
    return np.concatenate([x.reshape(row) for x in xs], axis)


def _stack_abstract(*xs: ShapedArray, axis: int) -> ShapedArray:
    shape = xs[0].shape
    if any(x.shape != shape for x in xs):
        np.stack(_stand_ins(xs), axis)
    return ShapedArray((*shape[:axis], len(xs), *shape[axis:]), _common_dtype(xs))


def _stack_transpose(ct: Any, *xs: Any, axis: int) -> list[Any]:
    before: tuple[Any, ...] = (slice(None),) * axis
    if type(ct) is _ndarray:
        return [cast(ct[(*before, i)], tangent_dtype(x)) for i, x in enumerate(xs)]
    whole = _whole(ct.shape[:axis])
    return [cast(basic_index(ct, Index((*whole, i))), tangent_dtype(x)) for i, x in enumerate(xs)]


def _stack_batch(size: int, xs: Sequence[Any], dims: Sequence[int | None], params: dict[str, Any]) -> tuple[Any, int]:
    return stack(_rows_in_front(size, xs, dims), params["axis"] + 1), 0


stack_p = linear(
    "stack",
    implementation=_stack_implementation,
    abstract=_stack_abstract,
    transpose=_stack_transpose,
    batch=_stack_batch,
    wrt=None,
    structural=True,
)


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape side by side along a new axis, counted from the front."""
    return bind(stack_p, *xs, axis=axis)


# flip: backwards along some axes -------------------------------------------------------------------------------------


def _flip_implementation(x: Any, axes: Shape) -> Any:
    return x[tuple(slice(None, None, -1) if axis in axes else slice(None) for axis in range(x.ndim))]


def _flip_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return flip(moveaxis(xs[0], dims[0], 0), tuple(axis + 1 for axis in params["axes"])), 0


flip_p = linear(
    "flip",
    implementation=_flip_implementation,
    abstract=lambda x, axes: ShapedArray(x.shape, x.dtype),
    transpose=lambda ct, x, axes: flip(ct, axes),
    batch=_flip_batch,
    structural=True,
)


def flip(x: Any, axes: Shape) -> Any:
    """x backwards along axes, counted from the front."""
    return bind_unary(flip_p, x, {"axes": axes}) if axes else x


# roll: shifted along axes, around the ends ---------------------------------------------------------------------------


def _roll_implementation(x: Any, shifts: Shape, axes: Shape) -> Any:
    if len(axes) > 1:
        return np.roll(x, shifts, axes)
    (axis,), n = axes, x.shape[axes[0]]
    cut = n - shifts[0] % n if n else 0
    return np.concatenate((slice_axis(x, axis, cut, None), slice_axis(x, axis, None, cut)), axis)


def _roll_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return roll(moveaxis(xs[0], dims[0], 0), params["shifts"], tuple(axis + 1 for axis in params["axes"])), 0


roll_p = linear(
    "roll",
    implementation=_roll_implementation,
    abstract=lambda x, shifts, axes: ShapedArray(x.shape, x.dtype),
    transpose=lambda ct, x, shifts, axes: roll(ct, tuple(-shift for shift in shifts), axes),
    batch=_roll_batch,
    structural=True,
)


def roll(x: Any, shifts: Shape, axes: Shape) -> Any:
    """x shifted along axes, counted from the front; what leaves at one end comes back at the other."""
    return bind_unary(roll_p, x, {"shifts": shifts, "axes": axes}) if axes else x


# diagonal: y[..., i] = x[..., i, i + offset], the two axes being last -------------------------------------------------


def _diagonal_length(shape: Shape, offset: int) -> int:
    rows, columns = shape[-2:]
    return max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))


def _diagonal_abstract(x: ShapedArray, offset: int) -> ShapedArray:
    return ShapedArray((*x.shape[:-2], _diagonal_length(x.shape, offset)), x.dtype)


def _diagonal_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return diagonal(moveaxis(xs[0], dims[0], 0), params["offset"]), 0


diagonal_p = linear(
    "diagonal",
    implementation=lambda x, offset: x.diagonal(offset, -2, -1),
    abstract=_diagonal_abstract,
    transpose=lambda ct, x, offset: embed_diagonal(ct, offset, x.shape[-2:]),
    batch=_diagonal_batch,
    structural=True,
)


def diagonal(x: Any, offset: int = 0) -> Any:
    """The diagonals of matrices in the last two axes."""
    return bind_unary(diagonal_p, x, {"offset": offset})


# embed_diagonal: y[..., i, i + offset] = x[..., i], zeros elsewhere ---------------------------------------------------


def _embed_diagonal_implementation(x: Any, offset: int, matrix: tuple[int, int]) -> Any:
    y = np.zeros((*x.shape[:-1], *matrix), x.dtype)
    diagonal_view = y.diagonal(offset, -2, -1)
    diagonal_view.flags.writeable = True  # NumPy marks diagonals read-only, to be written some day
    diagonal_view[...] = x
    return y


def _embed_diagonal_batch(size: int, xs: Sequence[Any], dims: Sequence[int], params: dict[str, Any]) -> tuple[Any, int]:
    return bind(embed_diagonal_p, moveaxis(xs[0], dims[0], 0), **params), 0


embed_diagonal_p = linear(
    "embed_diagonal",
    implementation=_embed_diagonal_implementation,
    abstract=lambda x, offset, matrix: ShapedArray((*x.shape[:-1], *matrix), x.dtype),
    transpose=lambda ct, x, offset, matrix: diagonal(ct, offset),
    batch=_embed_diagonal_batch,
    structural=True,
)


def embed_diagonal(x: Any, offset: int, matrix: tuple[int, int]) -> Any:
    """Matrices of a given shape with x, in its last axis, on a diagonal and zeros elsewhere."""
    return bind_unary(embed_diagonal_p, x, {"offset": offset, "matrix": matrix})


# pad: zeros around x ------------------------------------------------------------------------------------------------


def pad(x: Any, widths: Sequence[tuple[int, int]]) -> Any:
    """x with zeros around it, `(before, after)` for each axis."""
    pairs = list(zip(x.shape, widths, strict=True))
    inside = Index(tuple((low, low + n, 1) for n, (low, _) in pairs))
    return embed(x, inside, tuple(low + n + high for n, (low, high) in pairs))
