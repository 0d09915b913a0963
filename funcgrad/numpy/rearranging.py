"""NumPy's functions that move elements about in one array: roll, resize, insert, delete, pad."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.errors import UnsupportedFunctionError
from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, converted, fresh, separate
from funcgrad.numpy.protocol import implements
from funcgrad.numpy.views import ravel
from funcgrad.primitives import shaping, structural


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """NumPy's resize."""
    a = ravel(a)
    places = np.resize(np.arange(a.size), new_shape)
    return a[places] if a.size else np.zeros(places.shape, a.dtype)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """NumPy's roll."""
    a = as_array(a)
    if axis is None:
        return structural.reshape(roll(ravel(a), shift, 0), a.shape)
    rank = len(a.shape)
    pairs = np.broadcast(shift, axis)
    if pairs.ndim > 1:
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    shifts: dict[int, int] = {}
    for amount, i in pairs:
        i = normalize_axis_index(int(i), rank)
        shifts[i] = shifts.get(i, 0) + int(amount)
    moved = {i: amount % a.shape[i] for i, amount in shifts.items() if a.shape[i] and amount % a.shape[i]}
    return shaping.roll(a, tuple(moved.values()), tuple(moved)) if moved else fresh(a)


# Taking out and putting in -------------------------------------------------------------------------------------------


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """NumPy's delete."""
    arr = as_array(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis_index(axis, len(arr.shape))
    numbers = np.arange(arr.shape[axis]).reshape(*(1,) * axis, -1)
    return arr[(*(slice(None),) * axis, np.delete(numbers, obj, axis).ravel())]


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """NumPy's insert."""
    arr = as_array(arr)
    values = converted(as_array(values), arr.dtype)
    if axis is None:
        arr = ravel(arr)
    # NumPy says where each element comes from: one of the array's, or (negative) one of the values.
    own = np.arange(arr.size).reshape(arr.shape)
    others = -1 - np.arange(values.size).reshape(values.shape)
    places = np.insert(own, obj, others, axis)
    elements = shaping.concatenate([ravel(arr), ravel(values)[::-1]])
    return elements[places % elements.shape[0]] if places.size else np.zeros(places.shape, arr.dtype)


# Padding -------------------------------------------------------------------------------------------------------------

_COPYING_MODES = frozenset({"edge", "wrap", "reflect", "symmetric"})
_OTHER_MODES = frozenset({"maximum", "mean", "median", "minimum", "linear_ramp"})


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """NumPy's pad, in the modes that copy elements or put constants.

    Raises:
        UnsupportedFunctionError: another mode.
    """
    array = as_array(array)
    rank = len(array.shape)
    if callable(mode) or mode in _OTHER_MODES:
        raise UnsupportedFunctionError(f"np.pad(mode={mode!r})")
    if kwargs.get("reflect_type") == "odd":
        raise UnsupportedFunctionError("np.pad(reflect_type='odd')")
    values = kwargs.pop("constant_values", 0) if mode == "constant" else 0
    # NumPy reads the widths, and refuses what is wrong: where does one element come to lie?
    marked = np.pad(np.ones((1,) * rank, np.int8), pad_width, "constant")
    np.pad(np.ones((1,) * rank), 0, mode, **kwargs)
    lows = np.argwhere(marked)[0]
    widths = tuple((int(low), int(n - low - 1)) for low, n in zip(lows, marked.shape, strict=True))
    if mode in _COPYING_MODES:
        y = array
        for axis, width in enumerate(widths):
            rows = np.pad(np.arange(array.shape[axis]), width, mode, **kwargs)
            y = y[(*(slice(None),) * axis, rows)] if any(width) else y
        return separate(y, array)
    values = converted(as_array(values), array.dtype)
    if type(values) is not Tracer and not (np.any(values) or np.any(np.signbit(np.real(values)))):
        return shaping.pad(array, widths)
    return _pad_values(array, widths, structural.broadcast_to(values, (rank, 2)))


def _pad_values(x: Any, widths: tuple[tuple[int, int], ...], values: Any) -> Any:
    """x with one value before and another behind each axis."""
    for axis, (low, high) in enumerate(widths):
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        first, last = (
            structural.broadcast_to(values[axis, i], (*before, n, *after)) for i, n in enumerate((low, high))
        )
        x = shaping.concatenate([first, x, last], axis)
    return x
