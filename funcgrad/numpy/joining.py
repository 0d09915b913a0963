"""NumPy's functions that put arrays together and take them apart: concatenate, stack, block, split, tile, repeat."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, converted, fresh, in_common_dtype, put_into, separate
from funcgrad.numpy.protocol import implements, method
from funcgrad.numpy.views import moveaxis, one_axis, ravel, three_axes, two_axes
from funcgrad.primitives import shaping, structural

# Joining -------------------------------------------------------------------------------------------------------------


def _arrays(arrays: Any) -> list[Any]:
    """The members of a sequence of arrays, or the rows of an array, as arrays."""
    return [as_array(x) for x in arrays]


def _prepared(arrays: Sequence[Any], out: Any, dtype: Any, casting: str) -> list[Any]:
    """Arrays in the dtype that is asked for, or else in their common one.

    Raises:
        TypeError: as NumPy, where `casting` forbids it.
    """
    if dtype is not None and out is not None:
        raise TypeError("concatenate() only takes `out` or `dtype` as an argument, but both were provided.")
    if dtype is None:
        if out is None:
            return in_common_dtype(arrays)
        dtype = out.dtype
    for x in arrays:
        np.empty(0, x.dtype).astype(dtype, casting=casting)  # type: ignore[call-overload]
    return [converted(x, dtype) for x in arrays]


def stored(y: Any, out: Any) -> Any:
    """y as the result, or written to `out`.

    Raises:
        ValueError: as NumPy, if `out` has another shape.
    """
    if out is None:
        return y
    if out.shape != y.shape:
        raise ValueError("Output array is the wrong shape")
    return put_into(out, y)


@implements(np.concatenate)
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """NumPy's concatenate."""
    arrays = _arrays(arrays)
    if axis is None:
        arrays, axis = [ravel(x) for x in arrays], 0
    ranks = {len(x.shape) for x in arrays}
    if len(ranks) != 1 or ranks == {0}:
        np.concatenate([np.broadcast_to(np.False_, x.shape) for x in arrays], axis)
    axis = normalize_axis_index(axis, len(arrays[0].shape))
    y = shaping.concatenate(_prepared(arrays, out, dtype, casting), axis)
    return stored(fresh(y) if len(arrays) == 1 else y, out)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """NumPy's stack."""
    arrays = _arrays(arrays)
    if not arrays:
        raise ValueError("need at least one array to stack")
    shape = arrays[0].shape
    if any(x.shape != shape for x in arrays):
        raise ValueError("all input arrays must have the same shape")
    axis = normalize_axis_index(axis, len(shape) + 1)
    return stored(shaping.stack(_prepared(arrays, out, dtype, casting), axis), out)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """NumPy's vstack."""
    return concatenate([two_axes(x) for x in _arrays(tup)], 0, dtype=dtype, casting=casting)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """NumPy's hstack."""
    arrays = [one_axis(x) for x in _arrays(tup)]
    axis = 0 if arrays and len(arrays[0].shape) == 1 else 1
    return concatenate(arrays, axis, dtype=dtype, casting=casting)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """NumPy's dstack."""
    return concatenate([three_axes(x) for x in _arrays(tup)], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """NumPy's column_stack."""
    return concatenate([x if len(x.shape) > 1 else structural.reshape(x, (x.size, 1)) for x in _arrays(tup)], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """NumPy's append."""
    arr, values = as_array(arr), as_array(values)
    return concatenate((arr, values), axis)


@implements(np.block)
def block(arrays: Any) -> Any:
    """NumPy's block."""
    depth, rank = _block_depth(arrays), _block_rank(arrays)
    if depth is None:
        np.block(_block_outline(arrays))
    assert depth is not None
    rank = max(rank, depth)

    def join(part: Any, level: int) -> Any:
        if not isinstance(part, list):
            x = as_array(part)
            return structural.reshape(x, (*(1,) * (rank - len(x.shape)), *x.shape))
        return concatenate([join(x, level + 1) for x in part], rank - depth + level)

    return separate(join(arrays, 0), arrays)


def _block_depth(part: Any) -> int | None:
    """How deep lists are nested; None where that differs, or where NumPy would have no list."""
    if not isinstance(part, list):
        return None if isinstance(part, tuple) else 0
    depths = {_block_depth(x) for x in part}
    (depth,) = depths if len(depths) == 1 else (None,)
    return None if depth is None else depth + 1


def _block_rank(part: Any) -> int:
    return max(map(_block_rank, part), default=0) if isinstance(part, list) else len(as_array(part).shape)


def _block_outline(part: Any) -> Any:
    """The nesting alone, for NumPy to say what is wrong with it."""
    return [_block_outline(x) for x in part] if isinstance(part, list) else () if isinstance(part, tuple) else 0


# Splitting -----------------------------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """NumPy's array_split."""
    ary = as_array(ary)
    axis = normalize_axis_index(axis, len(ary.shape))
    try:
        cuts = [0, *map(operator.index, indices_or_sections), None]
    except TypeError:
        count = operator.index(indices_or_sections)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.") from None
        each, extras = divmod(ary.shape[axis], count)
        cuts = [i * each + min(i, extras) for i in range(count + 1)]
    before = (slice(None),) * axis
    return [ary[(*before, slice(start, stop))] for start, stop in itertools.pairwise(cuts)]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """NumPy's split."""
    ary = as_array(ary)
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        raise ValueError("array split does not result in an equal division")
    return array_split(ary, indices_or_sections, axis)


def _split_along(name: str, least_rank: int, axis: int) -> Callable[[Any, Any], list[Any]]:
    def split_axis(ary: Any, indices_or_sections: Any) -> list[Any]:
        ary = as_array(ary)
        rank = len(ary.shape)
        if rank < least_rank:
            raise ValueError(f"{name} only works on arrays of {least_rank} or more dimensions")
        return split(ary, indices_or_sections, min(axis, rank - 1))

    split_axis.__doc__ = f"NumPy's {name}."
    return split_axis


hsplit = implements(np.hsplit)(_split_along("hsplit", 1, 1))
vsplit = implements(np.vsplit)(_split_along("vsplit", 2, 0))
dsplit = implements(np.dsplit)(_split_along("dsplit", 3, 2))


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """NumPy's unstack."""
    x = as_array(x)
    if not x.shape:
        raise ValueError("Input array must be at least 1-d.")
    x = moveaxis(x, axis, 0)
    return tuple(x[i] for i in range(x.shape[0]))


# Repeating -----------------------------------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """NumPy's repeat."""
    a = as_array(a)
    if axis is None:
        a, axis = ravel(a), 0
    a = one_axis(a)  # axis 0 of a number is an axis to NumPy here
    axis = normalize_axis_index(axis, len(a.shape))
    shape = a.shape
    if isinstance(repeats, (int, np.integer)) and repeats >= 0:
        before, n, after = shape[:axis], shape[axis], shape[axis + 1 :]
        y = structural.broadcast_to(structural.reshape(a, (*before, n, 1, *after)), (*before, n, int(repeats), *after))
        return separate(structural.reshape(y, (*before, n * int(repeats), *after)), a)
    rows = np.repeat(np.arange(shape[axis]), repeats)
    return a[(*(slice(None),) * axis, rows)]


@method("repeat")
def array_repeat(self: Tracer, repeats: Any, axis: Any = None) -> Any:
    """ndarray.repeat."""
    return repeat(self, repeats, axis)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:  # noqa: N803 (NumPy's name)
    """NumPy's tile."""
    a = as_array(A)
    try:
        counts = tuple(map(operator.index, reps))
    except TypeError:
        counts = (operator.index(reps),)
    rank = max(len(counts), len(a.shape))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - len(a.shape)) + a.shape
    y = structural.reshape(a, tuple(n for length in shape for n in (1, length)))
    y = structural.broadcast_to(y, tuple(n for pair in zip(counts, shape, strict=True) for n in pair))
    return separate(structural.reshape(y, tuple(count * n for count, n in zip(counts, shape, strict=True))), a)
