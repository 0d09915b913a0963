"""In-place code on traced arrays: `x[i] = v`, `x += y`, and the functions and methods of NumPy that mutate.

A mutation computes a new value and gives it to the handle (`aliasing.update`); what has been recorded stays as it
is, and a caller's array is never modified. Where NumPy raises for a mutation of an array, so does this.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.tracing import CONSTANTS, Tracer, concrete, conversion_error, held
from funcgrad.numpy.aliasing import is_number, update, write_plain
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.buffers import write_alone
from funcgrad.numpy.indexing import along_axis, basic, positions
from funcgrad.numpy.protocol import implements, is_weak, method
from funcgrad.numpy.updates import assigned, stored_as
from funcgrad.numpy.views import flat_elements
from funcgrad.primitives.index import Index
from funcgrad.primitives.masking import select
from funcgrad.primitives.structural import broadcast_to, cast, reshape

# x[index] = v --------------------------------------------------------------------------------------------------------


@method("__setitem__")
def setitem(self: Tracer, index: Any, v: Any) -> None:
    """x[index] = v."""
    if type(v) is Tracer and _is_view_at(v, self, index):
        return  # `x[index] += v` has written through the view already
    if self.recording is CONSTANTS and type(v) is not list:
        plain_index, plain_v = _plain_index(index), held(v)
        if type(plain_v) is not Tracer and plain_index is not Tracer:
            write_plain(self, lambda x: operator.setitem(x, plain_index, plain_v))
            return
    if is_number(self):
        kind = type(concrete(self)) if is_weak(self) else self.dtype.type
        raise TypeError(f"{_type_name(kind)!r} object does not support item assignment")
    if self.alias is not None and self.alias.written_to is not None:
        static = basic(self.shape, index)
        if static is not None and write_alone(self, static, static.result_shape(self.shape), v):
            return
    update(self, assigned(self, index, v))


def _is_view_at(v: Tracer, x: Tracer, index: Any) -> bool:
    alias = v.alias
    if alias is None or alias.base is not x or type(alias.how) is not Index:
        return False
    return bool(basic(x.shape, index) == alias.how)


def _plain_index(index: Any) -> Any:
    """An index for NumPy; `Tracer` itself where something in it is traced."""
    if type(index) is Tracer:
        index = held(index)
        return Tracer if type(index) is Tracer else index
    if type(index) is tuple:
        items = tuple([_plain_index(item) for item in index])
        return Tracer if Tracer in map(type, items) or any(item is Tracer for item in items) else items
    if type(index) is list and any(isinstance(item, (Tracer, list)) for item in index):
        return _plain_index(as_array(index))
    return index


def _type_name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


# x += y --------------------------------------------------------------------------------------------------------------


def _augmented(ufunc: np.ufunc, function: Callable[[Any, Any], Any]) -> Callable[[Tracer, Any], Any]:
    def augment(self: Tracer, other: Any) -> Any:
        if self.recording is CONSTANTS:
            plain = held(other)
            if type(plain) is not Tracer and not (isinstance(plain, list) and type(as_array(plain)) is Tracer):
                write_plain(self, lambda x: ufunc(x, plain, out=x))
                return self
        elif is_number(self):
            return NotImplemented  # Python then rebinds the name, and no other
        try:
            y = function(held(self), other)
        except ValueError:
            _refuse(ufunc, self, other)
            raise
        if y is NotImplemented:
            return y
        if y.shape != self.shape or not np.can_cast(y.dtype, self.dtype, "same_kind"):
            _refuse(ufunc, self, other)
        update(self, cast(y, self.dtype))
        return self

    return augment


def _refuse(ufunc: np.ufunc, x: Tracer, other: Any) -> None:
    """NumPy's errors for an in-place operation whose result does not fit: it is asked with arrays of one element."""
    out = np.lib.stride_tricks.as_strided(np.ones(1, x.dtype), x.shape, (0,) * len(x.shape))
    if is_weak(other):
        second = other if type(other) is not Tracer else other.dtype.type(1).item()
    else:
        other = as_array(other)
        second = np.broadcast_to(np.ones((), other.dtype), other.shape)
    ufunc(np.broadcast_to(np.ones((), x.dtype), x.shape), second, out=out)


_AUGMENTED: dict[str, tuple[np.ufunc, Callable[[Any, Any], Any]]] = {
    "iadd": (np.add, operator.add),
    "isub": (np.subtract, operator.sub),
    "imul": (np.multiply, operator.mul),
    "itruediv": (np.divide, operator.truediv),
    "ifloordiv": (np.floor_divide, operator.floordiv),
    "imod": (np.remainder, operator.mod),
    "ipow": (np.power, operator.pow),
    "imatmul": (np.matmul, operator.matmul),
    "iand": (np.bitwise_and, operator.and_),
    "ior": (np.bitwise_or, operator.or_),
    "ixor": (np.bitwise_xor, operator.xor),
    "ilshift": (np.left_shift, operator.lshift),
    "irshift": (np.right_shift, operator.rshift),
}

for _name, _parts in _AUGMENTED.items():
    method(f"__{_name}__")(_augmented(*_parts))


# Mutating methods ----------------------------------------------------------------------------------------------------


@method("fill")
def fill(self: Any, value: Any) -> None:
    """ndarray.fill."""
    self[...] = value


def _set_flat(self: Any, value: Any) -> None:
    """x.flat = value: the value's elements in C order, repeated or cut off."""
    v = held(as_array(value))
    if self.size and v.size:
        self[...] = reshape(_repeated(v, self.size), self.shape)


method("flat")(property(flat_elements, _set_flat))


@method("sort")
def sort(self: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None) -> None:
    """ndarray.sort, in place."""
    self[...] = np.sort(held(self), axis, kind, order, stable=stable)


@method("partition")
def partition(self: Any, kth: Any, axis: int = -1, kind: Any = "introselect", order: Any = None) -> None:
    """ndarray.partition, in place."""
    self[...] = np.partition(held(self), kth, axis, kind, order)


@method("resize")
def resize(self: Tracer, *new_shape: Any, refcheck: bool = True) -> None:
    """ndarray.resize, which is refused, as NumPy refuses it for an array that is referred to.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "cannot resize an array that references or is referenced by another array in this way.\n"
        "Use the np.resize function."
    )


# Mutating functions --------------------------------------------------------------------------------------------------


def _target(x: Any, *values: Any) -> Any:
    """The array to be mutated, which must be a handle.

    Raises:
        TracedConversionError: it is a plain array, and a value traced.
        TypeError: it is a number.
    """
    if type(x) is Tracer:
        if is_number(x):
            raise TypeError(f"argument 1 must be numpy.ndarray, not {x.dtype.type.__name__}")
        return x
    raise conversion_error(next(v for v in values if type(v) is Tracer), "out")


def _repeated(values: Any, size: int) -> Any:
    """As many elements, in C order, the values repeated or cut off."""
    flat = reshape(values, (values.size,))
    return flat if values.size == size else flat[np.arange(size) % max(values.size, 1)]


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """NumPy's copyto."""
    x, v = _target(dst, src, where), held(as_array(src))
    if not np.can_cast(v.dtype if np.shape(src) or type(src) is Tracer else np.min_scalar_type(src), x.dtype, casting):
        np.copyto(np.empty(0, x.dtype), np.empty(0, v.dtype), casting)
    if where is True:
        x[...] = v
    else:
        mask = broadcast_to(held(as_array(where)), x.shape)
        update(x, select(mask, broadcast_to(stored_as(v, x), x.shape), held(x)))


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """NumPy's putmask."""
    x, v, mask = _target(a, mask, values), held(as_array(values)), held(as_array(mask))
    if not v.size:
        return
    if mask.shape != x.shape:
        raise ValueError("putmask: mask and data must be the same size")
    update(x, select(mask, reshape(_repeated(stored_as(v, x), x.size), x.shape), held(x)))


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """NumPy's place."""
    x, v = _target(arr, mask, vals), held(as_array(vals))
    places = np.flatnonzero(mask)
    if places.size and not v.size:
        raise ValueError("Cannot insert from an empty array!")
    _put(x, places, v)


@implements(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """NumPy's put."""
    x, v = _target(a, ind, v), held(as_array(v))
    _put(x, positions(held(as_array(ind)), x.size, mode), v)


@method("put")
def array_put(self: Tracer, indices: Any, values: Any, mode: str = "raise") -> None:
    """ndarray.put."""
    put(self, indices, values, mode)


def _put(x: Tracer, places: Any, v: Any) -> None:
    if places.size and v.size:
        flat = assigned(reshape(held(x), (x.size,)), reshape(places, (places.size,)), _repeated(v, places.size))
        update(x, reshape(flat, x.shape))


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """NumPy's put_along_axis."""
    x, indices = _target(arr, indices, values), held(as_array(indices))
    if axis is None:
        update(x, reshape(assigned(reshape(held(x), (x.size,)), indices, values), x.shape))
    else:
        axis = np.lib.array_utils.normalize_axis_index(axis, len(x.shape))
        x[along_axis(x, indices, axis)] = values


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """NumPy's fill_diagonal."""
    x, v = _target(a, val), held(as_array(val))
    numbers = np.zeros(x.shape, np.bool_)
    np.fill_diagonal(numbers, True, wrap)
    _put(x, np.flatnonzero(numbers), v)
