"""Updates that give a new array: `x.at[index].set(v)` and its kin, the pure form of in-place code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.errors import TracedIndexError
from funcgrad.core.source import caller
from funcgrad.core.tracing import Tracer, describe, has_value, held
from funcgrad.numpy.arrays import as_array, converted
from funcgrad.numpy.indexing import Selection, read, select
from funcgrad.numpy.protocol import method
from funcgrad.primitives import scattering
from funcgrad.primitives.index import ARRAY, Index
from funcgrad.primitives.masking import select as select_elements
from funcgrad.primitives.structural import broadcast_to, cast, reshape

Operation = Callable[..., Any]


# Assignment ----------------------------------------------------------------------------------------------------------


def assigned(x: Any, index: Any, v: Any) -> Any:
    """x with v assigned at an index, as `x[index] = v` assigns it: cast to x's dtype and broadcast.

    Raises:
        IndexError, ValueError: as NumPy.
    """
    v = held(v) if isinstance(v, (Tracer, np.ndarray, np.generic, bool)) else as_array(v)
    if is_mask(index, x) and not np.shape(v):
        return _assigned_where(x, index, v)
    selection = select(x, index)
    shape = selection.result_shape()
    v = _fitting(stored_as(v, x), shape, bool(selection.arrays))
    target = reshape(x, selection.shape)
    return reshape(scattering.scatter_set(target, v, selection.static, *selection.arrays), x.shape)


def is_mask(index: Any, x: Any) -> bool:
    """Whether an index is one boolean array over x's first axes."""
    if type(index) is not Tracer and type(index) is not np.ndarray:
        return False
    shape = index.shape
    return index.dtype == np.bool_ and 0 < len(shape) <= len(x.shape) and shape == x.shape[: len(shape)]


def _assigned_where(x: Any, mask: Any, v: Any) -> Any:
    """One number for all elements of a mask: the mask need not have values."""
    mask = reshape(held(mask), (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape))))
    return select_elements(mask, stored_as(v, x), x)


def stored_as(v: Any, x: Any) -> Any:
    """v as an element of x is stored: NumPy's assignment casts whatever it can, with its warnings and errors."""
    if type(v) is not Tracer:
        if type(v) in (int, float) and x.dtype.kind in "fc":
            return v
        y = np.empty(np.shape(v), x.dtype)
        y[...] = v
        return y[()]
    return v if v.dtype == x.dtype else converted(v, x.dtype)


def _fitting(v: Any, shape: tuple[int, ...], advanced: bool) -> Any:
    """v broadcast to the shape of what it is assigned to; NumPy allows it more axes in front if they have length 1."""
    v_shape = np.shape(v)
    if v_shape == shape:
        return v
    extra = len(v_shape) - len(shape)
    if extra > 0 and v_shape[:extra] == (1,) * extra:
        v = reshape(v, v_shape[extra:])
    try:
        if np.broadcast_shapes(np.shape(v), shape) == shape:
            return broadcast_to(v, shape)
    except ValueError:
        pass
    if advanced:
        raise ValueError(
            f"shape mismatch: value array of shape {_joined(v_shape)} could not be broadcast to indexing result of "
            f"shape {_joined(shape)}"
        )
    raise ValueError(f"could not broadcast input array from shape {_joined(v_shape)} into shape {_joined(shape)}")


def _joined(shape: tuple[int, ...]) -> str:
    return f"({','.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


# Operations ----------------------------------------------------------------------------------------------------------


def operated(x: Any, index: Any, ufunc: Any, *operands: Any, unique: bool = False, casting: Any = "same_kind") -> Any:
    """x with a function applied to the elements at an index, once for each time that an index is repeated.

    It is `ufunc.at`, but for the rule that a result is cast to x's dtype only if that is of the same kind.

    Args:
        ufunc: A NumPy ufunc, or any elementwise function.
        operands: The second operand, if it has one.
        unique: Whether no index is repeated.
        casting: "unsafe" casts to x's dtype from any other, as `ufunc.at`.
    """
    selection = select(x, index)
    shape = selection.result_shape()
    operands = tuple(_fitting(_operand(v, x.dtype), shape, bool(selection.arrays)) for v in operands)
    rule = _SCATTERS.get(ufunc)
    target = reshape(x, selection.shape)
    if rule is not None and (casting == "same_kind" or np.can_cast(operands[0].dtype, x.dtype, "same_kind")):
        v = _cast(operands[0], x.dtype, casting)
        return reshape(rule(target, v, selection.static, *selection.arrays), x.shape)
    if not unique and not _is_unique(selection):
        return reshape(_in_rounds(target, selection, ufunc, operands, casting), x.shape)
    v = _cast(ufunc(read(x, selection), *operands), x.dtype, casting)
    return reshape(scattering.scatter_set(target, v, selection.static, *selection.arrays), x.shape)


def _operand(v: Any, dtype: Any) -> Any:
    if type(v) in (int, float, complex):  # a number of Python's takes part in the array's dtype
        return np.asarray(v).astype(np.result_type(dtype, v))
    return held(v) if isinstance(v, (Tracer, np.ndarray, np.generic)) else as_array(v)


_SCATTERS: dict[Any, Operation] = {
    np.add: scattering.scatter_add,
    np.subtract: lambda x, v, index, *arrays: scattering.scatter_add(x, -v, index, *arrays),
    np.minimum: scattering.scatter_min,
    np.maximum: scattering.scatter_max,
}


def _cast(y: Any, dtype: Any, casting: Any) -> Any:
    """y in a dtype, if the casting allows it; else NumPy's error for the ufunc's output."""
    y_dtype = np.result_type(dtype, y) if type(y) in (int, float, complex) else y.dtype
    if y_dtype != dtype and not np.can_cast(y_dtype, dtype, casting):
        np.positive(np.empty(0, y_dtype), out=np.empty(0, dtype), casting=casting)
    return cast(y, dtype)


def _is_unique(selection: Selection) -> bool:
    """Whether no element is selected twice.

    Raises:
        TracedIndexError: the index has no values to see it by.
    """
    if all(len(a.shape) == 0 for a in selection.arrays):
        return True
    for a in selection.arrays:
        if not has_value(a):
            raise TracedIndexError(a.recording.name, describe(a), "update", caller())
    places = _places(selection)
    return places.size == np.unique(places).size


def _places(selection: Selection) -> Any:
    """The numbers of the selected elements, in C order."""
    arrays = [a._read("int") if type(a) is Tracer else a for a in selection.arrays]
    return np.arange(np.prod(selection.shape, dtype=np.intp)).reshape(selection.shape)[selection.static.fill(arrays)]


def _in_rounds(x: Any, selection: Selection, ufunc: Any, operands: tuple[Any, ...], casting: Any) -> Any:
    """The operation for repeated indices: all elements' first occurrences, then their second ones, and so on."""
    places = _places(selection).ravel()
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    rounds = np.empty_like(places)
    rounds[order] = np.arange(places.size) - np.repeat(starts, np.diff(starts, append=places.size))
    flat, operands = reshape(x, (x.size,)), tuple(reshape(v, (places.size,)) for v in operands)
    for number in range(rounds.max() + 1):
        now = np.flatnonzero(rounds == number)
        y = ufunc(flat[places[now]], *[v[now] for v in operands])
        flat = scattering.scatter_set(flat, _cast(y, x.dtype, casting), Index((ARRAY,)), places[now])
    return reshape(flat, x.shape)


# x.at[index] ---------------------------------------------------------------------------------------------------------


class At:
    """`x.at`: to be indexed."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)


class Place:
    """`x.at[index]`: each method gives a new array; x stays as it is. Repeated indices count every time."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self, *, mode: str = "raise", fill_value: Any = None) -> Any:
        """x[index].

        Args:
            mode: For integers out of range: "raise" as NumPy, "clip" to the nearest, "wrap" around, or "fill".
            fill_value: For mode "fill"; NaN, or 0 for integers, if not given.
        """
        if mode == "raise":
            return self._x[self._index]
        return _get(self._x, self._index, mode, fill_value)

    def set(self, values: Any) -> Any:
        """x with values in place of the elements; where an index is repeated the last one stays."""
        return assigned(self._x, self._index, values)

    def add(self, values: Any) -> Any:
        """x with values added."""
        return operated(self._x, self._index, np.add, values)

    def subtract(self, values: Any) -> Any:
        """x with values subtracted."""
        return operated(self._x, self._index, np.subtract, values)

    def multiply(self, values: Any, *, unique_indices: bool = False) -> Any:
        """x with the elements multiplied by values."""
        return operated(self._x, self._index, np.multiply, values, unique=unique_indices)

    mul = multiply

    def divide(self, values: Any, *, unique_indices: bool = False) -> Any:
        """x with the elements divided by values."""
        return operated(self._x, self._index, np.divide, values, unique=unique_indices)

    def power(self, values: Any, *, unique_indices: bool = False) -> Any:
        """x with the elements raised to the power of values."""
        return operated(self._x, self._index, np.power, values, unique=unique_indices)

    def min(self, values: Any) -> Any:
        """x with the lesser of element and value. Derivative at ties: split evenly."""
        return operated(self._x, self._index, np.minimum, values)

    def max(self, values: Any) -> Any:
        """x with the greater of element and value. Derivative at ties: split evenly."""
        return operated(self._x, self._index, np.maximum, values)

    def apply(self, function: Operation, *, unique_indices: bool = False) -> Any:
        """x with an elementwise function applied to the elements."""
        return operated(self._x, self._index, function, unique=unique_indices)


def at(x: Any) -> At:
    """`at(x)[index].set(v)` and so on: x with elements updated, as a new array.

    Args:
        x: An array, traced or not. A traced one has this as `x.at`, too.

    Example:
        >>> import numpy as np
        >>> at(np.zeros(3))[[0, 2]].set(1.0)
        array([1., 0., 1.])
        >>> at(np.zeros(3))[[0, 0]].add(1.0)
        array([2., 0., 0.])
    """
    return At(as_array(x))


method("at")(property(At))


def _get(x: Any, index: Any, mode: str, fill_value: Any) -> Any:
    """The elements at an index, of which integers may be out of range."""
    if mode not in ("clip", "wrap", "fill"):
        raise ValueError(f"mode must be 'raise', 'clip', 'wrap' or 'fill', not {mode!r}")
    shape, static, arrays = select(x, index)
    lengths = iter(shape)
    entries: list[Any] = list(static.entries)
    valid: Any = np.True_
    remaining = iter(arrays)
    arrays = []
    for i, entry in enumerate(entries):
        n = 0 if entry is None else next(lengths)
        if isinstance(entry, (int, str)):
            place = entry if isinstance(entry, int) else next(remaining)
            place = place % n if mode == "wrap" else np.where(place < 0, place + n, place)
            valid = valid & (place >= 0) & (place < n)
            entries[i] = ARRAY
            arrays.append(np.clip(place, 0, n - 1))
    selection = Selection(shape, Index(tuple(entries)), arrays)
    y = read(x, selection)
    if mode != "fill" or valid is np.True_:
        return y
    if fill_value is None:
        fill_value = np.nan if x.dtype.kind in "fc" else 0
    valid = reshape(
        valid, (*valid.shape, *(1,) * (len(y.shape) - len(valid.shape) - selection.static.arrays_place()[0]))
    )
    return select_elements(valid, y, stored_as(fill_value, x))
