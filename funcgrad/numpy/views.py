"""NumPy's functions that show the same elements otherwise: reshape, transpose, squeeze, flip, broadcast, diagonal."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from funcgrad.core.tracing import Tracer
from funcgrad.numpy.aliasing import attach
from funcgrad.numpy.arrays import as_array, fresh, layout, separate
from funcgrad.numpy.protocol import implements, method
from funcgrad.primitives import shaping, structural

Shape = tuple[int, ...]


def _view(x: Any, make: Callable[[Any], Any]) -> Any:
    """`make(x)`, which NumPy returns as a view of x: a handle of its own, even where nothing is to be done."""
    if type(x) is not Tracer:
        return make(x)
    y = make(x)
    return attach(fresh(x), x, fresh) if y is x else attach(y, x, make)


# reshape, ravel ------------------------------------------------------------------------------------------------------


def resolved_shape(x: Any, shape: Any) -> Shape:
    """A shape for x's elements, with -1 filled in.

    Raises:
        ValueError: as NumPy, where they do not fit.
    """
    size = math.prod(x.shape)
    if type(shape) is int and shape == -1:
        return (size,)
    several = isinstance(shape, (tuple, list)) or (isinstance(shape, np.ndarray) and shape.ndim > 0)
    shape = tuple(map(operator.index, shape)) if several else (operator.index(shape),)
    if math.prod(shape) == size and min(shape, default=0) >= 0:
        return shape
    known = math.prod(n for n in shape if n >= 0)
    if known and size % known == 0 and sum(n < 0 for n in shape) == 1:
        return tuple(size // known if n < 0 else n for n in shape)
    return np.broadcast_to(np.False_, x.shape).reshape(shape).shape


def _memory_order(x: Any) -> str:
    """The order "A" of a value."""
    return "F" if layout(x).flags.fnc else "C"


@implements(np.reshape)
def reshape(a: Any, /, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    """NumPy's reshape."""
    a = as_array(a)
    make = _reshaping(a, shape, order)
    return separate(make(a), a) if copy else _view(a, make)


def _reshaping(a: Any, shape: Any, order: str) -> Callable[[Any], Any]:
    """How a is reshaped."""
    shape = resolved_shape(a, shape)
    if order == "C":
        return lambda a: structural.reshape(a, shape)
    if order == "A":
        order = _memory_order(a)
    if order == "F":
        return lambda a: _reverse(structural.reshape(_reverse(a), shape[::-1]))
    np.reshape(np.zeros(1), 1, order)  # type: ignore[call-overload]
    return lambda a: structural.reshape(a, shape)


def _reverse(x: Any) -> Any:
    return structural.transpose(x, range(len(x.shape) - 1, -1, -1))


@method("reshape")
def array_reshape(self: Tracer, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    """ndarray.reshape."""
    return reshape(self, shape[0] if len(shape) == 1 else shape, order, copy=copy)


@implements(np.ravel)
def ravel(a: Any, order: Any = "C") -> Any:
    """NumPy's ravel."""
    a = as_array(a)
    return _view(a, _raveling(a, order))


def _raveling(a: Any, order: str) -> Callable[[Any], Any]:
    if order != "K":
        return _reshaping(a, -1, order)
    strides = layout(a).strides
    axes = sorted(range(len(strides)), key=lambda axis: -abs(strides[axis]))
    return lambda a: structural.reshape(structural.transpose(a, axes), (a.size,))


@method("ravel")
def array_ravel(self: Tracer, order: Any = "C") -> Any:
    """ndarray.ravel."""
    return ravel(self, order)


@method("flatten")
def array_flatten(self: Tracer, order: Any = "C") -> Any:
    """ndarray.flatten: a copy."""
    return separate(_raveling(self, order)(self), self)


def flat_elements(self: Tracer) -> Any:
    """The elements in C order, to be indexed and iterated."""
    return reshape(self, -1)


method("flat")(property(flat_elements))


# transpose and its kin -----------------------------------------------------------------------------------------------


def _permuted(a: Any, axes: Sequence[int]) -> Any:
    return _view(a, lambda a: structural.transpose(a, axes))


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """NumPy's transpose."""
    a = as_array(a)
    rank = len(a.shape)
    if axes is None:
        return _permuted(a, range(rank - 1, -1, -1))
    if isinstance(axes, int):
        axes = (axes,)
    if len(axes) != rank:
        raise ValueError("axes don't match array")
    axes = [normalize_axis_index(operator.index(axis), rank) for axis in axes]
    if len(set(axes)) != rank:
        raise ValueError("repeated axis in transpose")
    return _permuted(a, axes)


@method("transpose")
def array_transpose(self: Tracer, *axes: Any) -> Any:
    """ndarray.transpose."""
    return transpose(self, axes[0] if len(axes) == 1 else axes or None)


def _T(self: Tracer) -> Any:  # noqa: N802 (NumPy's name)
    """ndarray.T."""
    rank = len(self.shape)
    return _view(self, _flip_matrix) if rank == 2 else _permuted(self, range(rank - 1, -1, -1))


def _flip_matrix(x: Any) -> Any:
    return structural.transpose(x, (1, 0))


method("T")(property(_T))


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """NumPy's matrix_transpose."""
    x = as_array(x)
    rank = len(x.shape)
    if rank < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {rank}")
    return _permuted(x, (*range(rank - 2), rank - 1, rank - 2))


def _mT(self: Tracer) -> Any:  # noqa: N802 (NumPy's name)
    """ndarray.mT."""
    if len(self.shape) < 2:
        raise ValueError("matrix transpose with ndim < 2 is undefined")
    return matrix_transpose(self)


method("mT")(property(_mT))


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """NumPy's swapaxes."""
    a = as_array(a)
    rank = len(a.shape)
    axis1 = normalize_axis_index(axis1, rank, "axis1")
    axis2 = normalize_axis_index(axis2, rank, "axis2")
    axes = list(range(rank))
    axes[axis1], axes[axis2] = axis2, axis1
    return _permuted(a, axes)


@method("swapaxes")
def array_swapaxes(self: Tracer, axis1: int, axis2: int, /) -> Any:
    """ndarray.swapaxes."""
    return swapaxes(self, axis1, axis2)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """NumPy's moveaxis."""
    a = as_array(a)
    rank = len(a.shape)
    source = normalize_axis_tuple(source, rank, "source")
    destination = normalize_axis_tuple(destination, rank, "destination")
    if len(source) != len(destination):
        raise ValueError("`source` and `destination` arguments must have the same number of elements")
    axes = [axis for axis in range(rank) if axis not in source]
    for to, axis in sorted(zip(destination, source, strict=True)):
        axes.insert(to, axis)
    return _permuted(a, axes)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """NumPy's rollaxis."""
    a = as_array(a)
    rank = len(a.shape)
    axis = normalize_axis_index(axis, rank)
    if not -rank <= start <= rank:
        np.rollaxis(np.empty(a.shape), axis, start)
    start = start + rank if start < 0 else start
    axes = [i for i in range(rank) if i != axis]
    axes.insert(start - 1 if axis < start else start, axis)
    return _permuted(a, axes)


# axes of length one --------------------------------------------------------------------------------------------------


def _reshaped(a: Any, shape: Sequence[int]) -> Any:
    """A view of another shape."""
    shape = tuple(shape)
    return _view(a, lambda a: structural.reshape(a, shape))


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """NumPy's expand_dims."""
    a = as_array(a)
    if not isinstance(axis, (tuple, list)):
        axis = (axis,)
    rank = len(axis) + len(a.shape)
    axes = normalize_axis_tuple(axis, rank)
    lengths = iter(a.shape)
    return _reshaped(a, [1 if i in axes else next(lengths) for i in range(rank)])


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """NumPy's squeeze."""
    a = as_array(a)
    if axis is None:
        return _reshaped(a, [n for n in a.shape if n != 1])
    if not a.shape:
        np.squeeze(np.empty(()), axis)
        return _view(a, lambda a: a)
    axes = normalize_axis_tuple(axis, len(a.shape))
    if any(a.shape[i] != 1 for i in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return _reshaped(a, [n for i, n in enumerate(a.shape) if i not in axes])


@method("squeeze")
def array_squeeze(self: Tracer, axis: Any = None) -> Any:
    """ndarray.squeeze."""
    return squeeze(self, axis)


def _each(make: Callable[[Any], Any], arrays: Sequence[Any]) -> Any:
    results = tuple(make(as_array(x)) for x in arrays)
    return results[0] if len(results) == 1 else results


def one_axis(x: Any) -> Any:
    """x with at least one axis."""
    return x if x.shape else _reshaped(x, (1,))


def two_axes(x: Any) -> Any:
    """x with at least two axes: a vector becomes a row."""
    return x if len(x.shape) > 1 else _reshaped(x, (1, *(x.shape or (1,))))


def three_axes(x: Any) -> Any:
    """x with at least three axes: a vector becomes (1, n, 1), a matrix (n, m, 1)."""
    shape = x.shape
    return x if len(shape) > 2 else _reshaped(x, (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1))


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """NumPy's atleast_1d."""
    return _each(one_axis, arys)


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """NumPy's atleast_2d."""
    return _each(two_axes, arys)


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """NumPy's atleast_3d."""
    return _each(three_axes, arys)


# flip and rotate -----------------------------------------------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """NumPy's flip."""
    m = as_array(m)
    rank = len(m.shape)
    axes = tuple(range(rank)) if axis is None else normalize_axis_tuple(axis, rank)
    return _view(m, lambda m: shaping.flip(m, axes))


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """NumPy's fliplr."""
    m = as_array(m)
    if len(m.shape) < 2:
        raise ValueError("Input must be >= 2-d.")
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """NumPy's flipud."""
    m = as_array(m)
    if not m.shape:
        raise ValueError("Input must be >= 1-d.")
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """NumPy's rot90."""
    m = as_array(m)
    axes = tuple(axes)
    np.rot90(np.broadcast_to(np.False_, m.shape), k, axes)
    if k % 4 == 2:
        return flip(m, axes)
    if k % 2 == 0:
        return _view(m, lambda m: m)
    if k % 4 == 1:
        return swapaxes(flip(m, axes[1]), *axes)
    return flip(swapaxes(m, *axes), axes[1])


# broadcasting --------------------------------------------------------------------------------------------------------


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """NumPy's broadcast_to."""
    array = as_array(array)
    shape = np.broadcast_to(np.broadcast_to(np.False_, array.shape), shape).shape
    return _view(array, lambda x: structural.broadcast_to(x, shape))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """NumPy's broadcast_arrays."""
    arrays = [as_array(x) for x in args]
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    return tuple(x if x.shape == shape else broadcast_to(x, shape) for x in arrays)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """NumPy's meshgrid."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    rank = len(xi)
    places = [1, 0, *range(2, rank)] if indexing == "xy" and rank > 1 else list(range(rank))
    grids = [reshape(x, (*(1,) * place, -1, *(1,) * (rank - 1 - place))) for x, place in zip(xi, places, strict=True)]
    if sparse:
        return tuple(grids) if copy else grids
    return broadcast_arrays(*grids)


# diagonals -----------------------------------------------------------------------------------------------------------


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """NumPy's diagonal."""
    a = as_array(a)
    rank = len(a.shape)
    if rank < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    axis1, axis2 = normalize_axis_index(axis1, rank, "axis1"), normalize_axis_index(axis2, rank, "axis2")
    if axis1 == axis2:
        raise ValueError("axis1 and axis2 cannot be the same")
    axes = [*(axis for axis in range(rank) if axis not in (axis1, axis2)), axis1, axis2]
    return _view(a, lambda a: shaping.diagonal(structural.transpose(a, axes), operator.index(offset)))


@method("diagonal")
def array_diagonal(self: Tracer, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """ndarray.diagonal."""
    return diagonal(self, offset, axis1, axis2)


@implements(np.linalg.diagonal)
def matrix_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """NumPy's linalg.diagonal."""
    return diagonal(x, offset, -2, -1)
