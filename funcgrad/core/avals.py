"""What is known of a value without its elements: shape, dtype and whether its dtype is weak.

A weak dtype is that of a Python `int`, `float` or `complex` (NEP 50): it gives way to any array's. A Python `bool` is
weak, too: beside arrays it is NumPy's, but among Python's numbers `True + 1` is an int.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_KINDS = {"b": "bool", "i": "int", "f": "float", "c": "complex"}


class ShapedArray:
    """An abstract array: `shape`, `dtype` and `weak_type` (a Python scalar's dtype, which gives way)."""

    __slots__ = ("dtype", "shape", "weak_type")

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak_type: bool

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak_type: bool = False) -> None:
        self.shape = shape
        self.dtype = dtype if isinstance(dtype, np.dtype) else np.dtype(dtype)
        self.weak_type = weak_type

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.size * self.dtype.itemsize

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ShapedArray)
            and self.shape == other.shape
            and self.dtype == other.dtype
            and self.weak_type == other.weak_type
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak_type))

    def __repr__(self) -> str:
        name = _KINDS[self.dtype.kind] if self.weak_type else self.dtype.name
        return f"{name}[{','.join(map(str, self.shape))}]"


def get_aval(x: Any) -> ShapedArray:
    """The abstract value of an array, a NumPy or Python scalar, or a tracer.

    Raises:
        TypeError: `x` is none of these.
    """
    kind = type(x)
    if kind is np.ndarray or isinstance(x, (np.ndarray, np.generic)):
        return ShapedArray(x.shape, x.dtype)
    if kind in _PYTHON_AVALS:
        return _PYTHON_AVALS[kind]
    if kind is ShapedArray:
        return x
    aval = getattr(x, "aval", None)
    if aval is None:
        raise TypeError(f"{x!r} of type {kind.__name__} is not an array or a number")
    return aval


_PYTHON_AVALS = {
    bool: ShapedArray((), np.bool_, weak_type=True),
    int: ShapedArray((), np.int64, weak_type=True),
    float: ShapedArray((), np.float64, weak_type=True),
    complex: ShapedArray((), np.complex128, weak_type=True),
}
