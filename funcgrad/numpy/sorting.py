"""NumPy's sorting and searching of traced arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.tracing import Tracer
from funcgrad.numpy.arrays import as_array, converted
from funcgrad.numpy.protocol import implements, method
from funcgrad.numpy.reductions import stand_in
from funcgrad.primitives import sorting
from funcgrad.primitives.masking import select
from funcgrad.primitives.shaping import flip
from funcgrad.primitives.structural import reshape


def _with_axis(a: Any, axis: Any) -> tuple[Any, int]:
    """a and the axis counted from the front; the flattened array where none is named."""
    a = as_array(a)
    if axis is None:
        return reshape(a, (a.size,)), 0
    return a, normalize_axis_index(operator.index(axis), len(a.shape))


def _check_kind(kind: Any, order: Any, stable: Any) -> None:
    """Raise NumPy's errors for what does not name a sort."""
    np.sort(np.empty(0), kind=kind, order=order, stable=stable)


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """np.sort."""
    _check_kind(kind, order, stable)
    return sorting.sort(*_with_axis(a, axis))


@implements(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """np.sort_complex."""
    y = sort(a)
    return y if y.dtype.kind == "c" else converted(y, np.complex64 if y.dtype.char in "bhBH" else np.result_type(y, 1j))


@implements(np.argsort)
@method("argsort")
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """np.argsort."""
    _check_kind(kind, order, stable)
    a = as_array(a)
    if not a.shape:
        np.argsort(0.0, axis)
        a = reshape(a, (1,))
    a, axis = _with_axis(a, axis)
    return sorting.argsort(a, axis, "stable" if stable else kind)


def _places(kth: Any, length: int) -> tuple[int, ...]:
    """`kth` as places counted from the front, as np.partition understands it."""
    np.partition(np.empty(length, np.bool_), kth)
    return tuple(int(k) % length for k in np.ravel(kth)) if length else ()


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """np.partition."""
    a, axis = _with_axis(a, axis)
    return sorting.partition(a, _places(kth, a.shape[axis]), axis)


@implements(np.argpartition)
@method("argpartition")
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    """np.argpartition."""
    a, axis = _with_axis(a, axis)
    return sorting.argpartition(a, _places(kth, a.shape[axis]), axis)


@implements(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """np.lexsort."""
    rows = [as_array(key) for key in keys]
    if not rows or len({row.shape for row in rows}) != 1:
        np.lexsort([stand_in(row) for row in rows], axis)
    if not rows[0].shape:
        return reshape(sorting.lexsort([reshape(row, (1,)) for row in rows], 0), ())
    return sorting.lexsort(rows, normalize_axis_index(operator.index(axis), len(rows[0].shape)))


@implements(np.searchsorted)
@method("searchsorted")
def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    """np.searchsorted."""
    a, v = as_array(a), as_array(v)
    if len(a.shape) != 1 or side not in ("left", "right"):
        np.searchsorted(stand_in(a), 0.0, side)
    if sorter is not None:
        a = a[sorter]
    return sorting.searchsorted(a, v, side)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: Any = False) -> Any:
    """np.digitize."""
    x, bins = as_array(x), as_array(bins)
    if x.dtype.kind == "c":
        raise TypeError("x may not be complex")
    if len(bins.shape) != 1:
        np.digitize(0.0, stand_in(bins))
    side = "left" if right else "right"
    ascending: Any = np.all(bins[1:] >= bins[:-1])
    if type(ascending) is Tracer:
        return select(ascending, sorting.searchsorted(bins, x, side), _places_among_descending(bins, x, side))
    if ascending:
        return sorting.searchsorted(bins, x, side)
    if not np.all(bins[1:] <= bins[:-1]):
        raise ValueError("bins must be monotonically increasing or decreasing")
    return _places_among_descending(bins, x, side)


def _places_among_descending(bins: Any, x: Any, side: str) -> Any:
    return bins.shape[0] - sorting.searchsorted(flip(bins, (0,)), x, side)
