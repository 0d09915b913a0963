"""Indices of every kind that NumPy has, in the form that primitives take; x[index], iteration, take, nonzero."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from funcgrad.core.primitive import bind_unary
from funcgrad.core.tracing import CONSTANTS, Tracer, has_value, held
from funcgrad.numpy.aliasing import attach
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.buffers import forget_read
from funcgrad.numpy.joining import stored
from funcgrad.numpy.protocol import implements, method
from funcgrad.primitives.index import ARRAY, Entry, Index
from funcgrad.primitives.indexing import basic_index, basic_index_p, gather
from funcgrad.primitives.structural import reshape
from funcgrad.primitives.unstacking import unstack

Shape = tuple[int, ...]

_INVALID = (
    "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or boolean arrays are valid "
    "indices"
)


# Basic indices: the fast path ----------------------------------------------------------------------------------------


def basic(shape: Shape, index: Any) -> Index | None:
    """An index of integers, slices, new axes and an ellipsis, resolved for a shape; None if it has anything else."""
    if type(index) is int:
        if shape and -shape[0] <= index < 0:
            index += shape[0]
        return Index((index,), (index,))
    if type(index) is slice and shape:
        entry = _resolved(index, shape[0])
        return Index((entry,), (slice(*entry),))
    items = index if type(index) is tuple else (index,)
    entries: list[Entry] = []
    axis, rank, dots = 0, len(shape), False
    for i, item in enumerate(items):
        kind = type(item)
        if kind is int and axis < rank:
            entries.append(item + shape[axis] if -shape[axis] <= item < 0 else item)
            axis += 1
        elif kind is slice and axis < rank:
            entries.append(_resolved(item, shape[axis]))
            axis += 1
        elif item is None:
            entries.append(None)
        elif item is ... and not dots:
            dots = True
            stop = max(axis, rank - sum(other is not None for other in items[i + 1 :]))
            entries += [(0, n, 1) for n in shape[axis:stop]]
            axis = stop
        else:
            return None
    if dots and not any(type(entry) is tuple for entry in entries):
        return Index(tuple(entries), (*entries, ...))  # an array without axes, not a number
    return Index(tuple(entries))


def _resolved(item: slice, length: int) -> tuple[int, int | None, int]:
    start, stop, step = item.indices(length)
    return start, None if stop < 0 else stop, step


# All indices ---------------------------------------------------------------------------------------------------------


class Selection(NamedTuple):
    """What an index selects: `x.reshape(shape)[static, with its arrays]`."""

    shape: Shape
    static: Index
    arrays: list[Any]

    def of(self, x: Any) -> Any:
        """The elements of x: a view where there are no index arrays."""
        if self.arrays:
            return gather(reshape(x, self.shape), self.static, *self.arrays)
        y = basic_index(x, self.static)
        return attach(y, x, self.static) if type(x) is Tracer else y

    def result_shape(self) -> Shape:
        """The shape of the elements; NumPy's errors for all that is known of the index."""
        if not self.arrays:
            return self.static.result_shape(self.shape)
        known = [np.broadcast_to(np.intp(0), a.shape) if type(a) is Tracer else a for a in self.arrays]
        return self.static.result_shape(self.shape, known)


_ROWS = Index((ARRAY,))


def select(x: Any, index: Any) -> Selection:
    """An index into x of any kind.

    Raises:
        IndexError: as NumPy.
        TracedIndexError: (an IndexError) it is a mask without values.
    """
    shape = x.shape
    static = basic(shape, index)
    if static is not None:
        return Selection(shape, static, [])
    if type(index) is np.ndarray and index.ndim and index.dtype.kind in "iu" and shape:
        return Selection(shape, _ROWS, [index])  # the common case
    if _is_plain_mask(index) and index.ndim == 1 and index.shape == shape[:1]:
        return Selection(shape, _ROWS, [index.nonzero()[0]])
    items = [_item(item) for item in (index if type(index) is tuple else (index,))]
    if len(items) == 1 and len(shape) > 1 and _is_plain_mask(items[0]) and items[0].shape == shape:
        return Selection((x.size,), Index((ARRAY,)), [np.flatnonzero(items[0])])
    return _Parser(shape).parse(items)


def _item(item: Any) -> Any:
    """One part of an index: None, `...`, a slice, an int, a plain mask, or an array of integers, perhaps traced.

    Raises:
        IndexError: as NumPy, for anything else.
    """
    if item is None or item is ... or type(item) is slice or type(item) is int:
        return item
    if type(item) is Tracer:
        if item.dtype.kind == "b":
            return np.asarray(item._read("mask"))
        item = held(item)
    elif isinstance(item, (list, tuple)):
        item = as_array(item)
        if not item.size and type(item) is not Tracer:
            item = item.astype(np.intp)
    elif isinstance(item, (bool, np.bool_)):
        return np.asarray(item)
    elif not isinstance(item, np.ndarray):
        try:
            return operator.index(item)
        except TypeError:
            raise IndexError(_INVALID) from None
    if item.dtype.kind == "b":
        return item
    if item.dtype.kind not in "iu":
        plain = isinstance(item, np.ndarray)
        raise IndexError("arrays used as indices must be of integer (or boolean) type" if plain else _INVALID)
    return item if type(item) is Tracer or item.ndim else int(item)


class _Parser:
    """Goes through the parts of an index and the axes of an array side by side."""

    def __init__(self, shape: Shape) -> None:
        self.lengths = list(shape)  # of axes that are still to come
        self.shape: list[int] = []
        self.entries: list[Entry] = []
        self.arrays: list[Any] = []

    def parse(self, items: Sequence[Any]) -> Selection:
        taken = [_axes_taken(item) for item in items]
        rank, count = len(self.lengths), sum(taken)
        if sum(item is ... for item in items) > 1:
            raise IndexError("an index can only have a single ellipsis ('...')")
        if count > rank:
            raise IndexError(f"too many indices for array: array is {rank}-dimensional, but {count} were indexed")
        for item in items:
            if item is ...:
                for _ in range(rank - count):
                    self.entries.append((0, self._axis(), 1))
            elif item is None:
                self.entries.append(None)
            elif type(item) is int:
                n = self._axis()
                self.entries.append(item + n if -n <= item < 0 else item)
            elif type(item) is slice:
                self.entries.append(_resolved(item, self._axis()))
            elif _is_plain_mask(item):
                self._mask(item)
            else:
                self._axis()
                self._array(item)
        return Selection((*self.shape, *self.lengths), Index(tuple(self.entries)), self.arrays)

    def _axis(self) -> int:
        self.shape.append(self.lengths.pop(0))
        return self.shape[-1]

    def _array(self, array: Any) -> None:
        self.entries.append(ARRAY)
        self.arrays.append(array)

    def _mask(self, mask: Any) -> None:
        if mask.ndim == 0:  # NumPy makes an axis for it
            self.shape.append(1)
            self._array(np.zeros(int(mask), np.intp))
            return
        for n, places in zip(mask.shape, mask.nonzero(), strict=True):
            axis = len(self.shape)
            if self._axis() != n:
                raise IndexError(
                    f"boolean index did not match indexed array along axis {axis}; size of axis is {self.shape[-1]} "
                    f"but size of corresponding boolean axis is {n}"
                )
            self._array(places)


def _axes_taken(item: Any) -> int:
    if item is None or item is ...:
        return 0
    return item.ndim if _is_plain_mask(item) else 1


def _is_plain_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == np.bool_


# x[index] ------------------------------------------------------------------------------------------------------------


@method("__getitem__")
def getitem(self: Tracer, index: Any) -> Any:
    """x[index]."""
    static = basic(self.shape, index)
    if static is None:
        return read(self, select(self, index))
    y = bind_unary(basic_index_p, self, {"index": static})
    if type(y) is not Tracer or type(y.value) is not np.float64:  # a number is no view
        y = attach(y, self, static)
    if self.alias is not None and self.alias.written_to is not None and type(y) is Tracer:
        forget_read(self, y)
    return y


def read(x: Any, selection: Selection) -> Any:
    """The selected elements; a wrong index is an error now, also where x has no value yet."""
    if selection.arrays and not has_value(x):
        selection.result_shape()
    return selection.of(x)


@method("__iter__")
def iterate(self: Any) -> Iterator[Any]:
    """The rows, by one equation for all of them."""
    if not self.shape:
        raise TypeError("iteration over a 0-d array")
    if self.recording is CONSTANTS:
        return (self[i] for i in range(len(self)))
    return _rows(self, unstack(self), self.recording, self.id)


def _rows(x: Any, rows: Sequence[Any], recording: Any, number: int) -> Iterator[Any]:
    for i, row in enumerate(rows):
        unchanged = x.recording is recording and x.id == number
        yield attach(row, x, Index((i,), (i,))) if unchanged else x[i]


# Functions that index ------------------------------------------------------------------------------------------------


def positions(indices: Any, length: int, mode: str) -> Any:
    """Indices into an axis, brought into its range by the mode."""
    if indices.dtype.kind not in "iub":
        np.empty(0, indices.dtype).astype(np.intp, casting="safe")
    if indices.dtype.kind == "b":
        indices = indices.astype(np.intp)
    if mode == "clip":
        return np.clip(indices, 0, length - 1)
    if mode == "wrap":
        return indices % length
    if mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return indices


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """NumPy's take."""
    a, indices = as_array(a), as_array(indices)
    if axis is None or not a.shape:  # axis 0 of a number is an axis to NumPy here
        axis = 0 if axis is None else normalize_axis_index(operator.index(axis), 1)
        a = reshape(a, (a.size,))
    axis = normalize_axis_index(operator.index(axis), len(a.shape))
    picked = positions(indices, a.shape[axis], mode)
    y = read(a, select(a, (*(slice(None),) * axis, picked)))
    return stored(y, out)


@method("take")
def array_take(self: Tracer, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """ndarray.take."""
    return take(self, indices, axis, out, mode)


def along_axis(arr: Any, indices: Any, axis: Any) -> tuple[Any, ...]:
    """The index arrays by which take_along_axis and put_along_axis select.

    Raises:
        IndexError: the indices are no integers.
        ValueError: they have another number of axes.
    """
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    rank = len(arr.shape)
    if len(indices.shape) != rank:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    grid = [np.arange(n).reshape(*(1,) * i, n, *(1,) * (rank - i - 1)) for i, n in enumerate(arr.shape)]
    return (*grid[:axis], indices, *grid[axis + 1 :])


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """NumPy's take_along_axis."""
    arr, indices = as_array(arr), as_array(indices)
    if axis is None:
        if len(indices.shape) != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        arr, axis = reshape(arr, (arr.size,)), 0
    axis = normalize_axis_index(axis, len(arr.shape))
    return read(arr, select(arr, along_axis(arr, indices, axis)))


def mask_values(x: Any) -> Any:
    """The plain elements of what is a condition to Python: noted as a read."""
    return x._read("mask") if type(x) is Tracer else x


@implements(np.nonzero)
def nonzero(a: Any) -> tuple[Any, ...]:
    """NumPy's nonzero.

    Raises:
        TracedIndexError: (an IndexError) the elements are not known, as under vmap.
    """
    return np.nonzero(mask_values(a))


@method("nonzero")
def array_nonzero(self: Tracer) -> tuple[Any, ...]:
    """ndarray.nonzero."""
    return nonzero(self)


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """NumPy's flatnonzero."""
    return np.flatnonzero(mask_values(a))


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    """NumPy's argwhere."""
    return np.argwhere(mask_values(a))


@implements(np.ix_)
def ix_(*args: Any) -> tuple[Any, ...]:
    """NumPy's ix_."""
    axes = []
    for i, x in enumerate(map(as_array, args)):
        if len(x.shape) != 1:
            raise ValueError("Cross index must be 1 dimensional")
        x = np.flatnonzero(mask_values(x)) if x.dtype.kind == "b" else x
        axes.append(x.reshape(*(1,) * i, x.size, *(1,) * (len(args) - i - 1)))
    return tuple(axes)


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """NumPy's unravel_index, of indices within range."""
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    digits = []
    for n in lengths[::-1] if order == "C" else lengths:
        digits.append(indices % n)
        indices = indices // n
    return tuple(digits[::-1] if order == "C" else digits)


def _indices_from(numpy_function: Any) -> None:
    def indices_from(arr: Any, *args: Any, **kwargs: Any) -> Any:
        return numpy_function(np.broadcast_to(np.False_, arr.shape), *args, **kwargs)

    implements(numpy_function)(indices_from)


for _function in (np.tril_indices_from, np.triu_indices_from, np.diag_indices_from):
    _indices_from(_function)
