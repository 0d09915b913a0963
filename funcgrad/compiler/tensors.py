"""Arrays that are not computed yet: a tensor knows how to express any one of its elements.

What a primitive makes of lazy operands is again lazy, so that chains of elementwise primitives, broadcasts, slices and
gathers grow into one expression. `fusion.Fusion.realise` puts an end to it by storing the elements in a buffer; from
then on the tensor is a strided view of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcgrad.compiler.indices import (
    ZERO,
    Affine,
    Index,
    add_affine,
    counter,
    divide_affine,
    scale_affine,
    strides_of,
)
from funcgrad.compiler.loops import INT64, Apply, Buffer, Constant, Counter, Expression, Load, loads
from funcgrad.compiler.scalars import add, multiply

# Rows so short waste vectors, if there are so many times as many.
_NARROW, _FAR_LONGER = 12, 16

Shape: TypeAlias = tuple[int, ...]
Elements: TypeAlias = Callable[[tuple[Index, ...]], Expression]


class Tensor:
    """An array: elements by index.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
        buffer: Where its elements are stored, if they are.
        offset: The index in the buffer of its first element.
        strides: For each axis the distance of neighbours in the buffer, in elements.
        depth: How many equations its expression is made of, one upon the other.
    """

    __slots__ = ("_cost", "_elements", "_known", "buffer", "depth", "dtype", "offset", "shape", "strides")

    def __init__(self, shape: Shape, dtype: np.dtype[Any], elements: Elements) -> None:
        self.shape = shape
        self.dtype = dtype
        self.buffer: Buffer | None = None
        self.offset = ZERO
        self.strides: Shape = ()
        self.depth = 0
        self._elements = elements
        self._known: dict[tuple[Index, ...], Expression] = {}
        self._cost: float | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def cost(self) -> float:
        """About how many operations one element takes; 0 for one that is only loaded."""
        if self._cost is None:
            self._cost = self.at(identity(self.shape)).cost if self.size else 0.0
        return self._cost

    def at(self, index: tuple[Index, ...]) -> Expression:
        """The element at an index."""
        known = self._known.get(index)
        if known is None:
            known = self._known[index] = self._elements(index)
        return known

    def store(self, view: Tensor) -> None:
        """From now on the elements are those of a stored tensor."""
        self.buffer, self.offset, self.strides = view.buffer, view.offset, view.strides
        self.depth = 0
        self._elements = view._elements
        self._known.clear()
        self._cost = None

    def is_contiguous(self) -> bool:
        """Whether it is all of a part of its buffer, in C order."""
        if self.buffer is None:
            return False
        standard = strides_of(self.shape)
        return all(s == t or n == 1 for s, t, n in zip(self.strides, standard, self.shape, strict=True))


def wastes_vectors(length: int, count: int) -> bool:
    """Whether so many rows of a length are better stored by columns."""
    return 1 < length <= _NARROW and count >= _FAR_LONGER * length


def lies_by_columns(x: Tensor) -> bool:
    """Whether rows of x are short, and what it is made of is stored by columns."""
    if len(x.shape) < 2 or not wastes_vectors(x.shape[-1], x.shape[-2]):
        return False
    down = len(x.shape) - 2
    found = [load.index for load in loads(x.at(identity(x.shape))) if type(load.index) is Affine]
    steps = {(index.coefficient(down), index.coefficient(down + 1)) for index in found}
    across = {row == 1 for row, column in steps if row and column}
    return across == {True}


def identity(shape: Sequence[int]) -> tuple[Affine, ...]:
    """The counters of a nest over a shape, as an index."""
    return tuple(counter(axis, n) for axis, n in enumerate(shape))


def view(buffer: Buffer, shape: Shape, strides: Shape | None = None, offset: Affine = ZERO) -> Tensor:
    """The tensor of stored elements."""
    steps = strides_of(shape) if strides is None else strides

    def elements(index: tuple[Index, ...]) -> Expression:
        return Load(buffer, flat_index(index, steps, offset))

    x = Tensor(shape, buffer.dtype, elements)
    x.buffer, x.offset, x.strides = buffer, offset, steps
    return x


def alias(x: Tensor) -> Tensor:
    """The same elements as a tensor of its own, so that to store one does not store the other."""
    y = Tensor(x.shape, x.dtype, x.at)
    y.buffer, y.offset, y.strides, y.depth = x.buffer, x.offset, x.strides, x.depth
    return y


def constant(value: Any, dtype: np.dtype[Any], shape: Shape = ()) -> Tensor:
    """A number, repeated."""
    number = Constant(value, dtype)
    return Tensor(shape, dtype, lambda index: number)


def flat_index(index: Sequence[Index], strides: Sequence[int], offset: Affine = ZERO) -> Index:
    """offset + the sum of index * stride."""
    affine = offset
    computed: Expression | None = None
    for i, stride in zip(index, strides, strict=True):
        if type(i) is Affine:
            affine = add_affine(affine, scale_affine(i, stride))
        elif stride:
            assert isinstance(i, Expression)
            computed = _sum(computed, scaled(i, stride))
    if computed is None:
        return affine
    return computed if affine == ZERO else _sum(computed, Counter(affine))


def _sum(x1: Expression | None, x2: Expression) -> Expression:
    return x2 if x1 is None else Apply(add, (x1, x2), INT64)


def scaled(x: Expression, factor: int) -> Expression:
    """An integer multiple of a computed index."""
    return x if factor == 1 else Apply(multiply, (x, Constant(factor, INT64)), INT64)


def affine_of(i: Index, factor: int, shift: int) -> Index:
    """i * factor + shift."""
    if type(i) is Affine:
        scaled_index = scale_affine(i, factor)
        return Affine(scaled_index.offset + shift, scaled_index.terms)
    assert isinstance(i, Expression)
    y = scaled(i, factor)
    return Apply(add, (y, Constant(shift, INT64)), INT64) if shift else y


# Index maps --------------------------------------------------------------------------------------------------------


def moved(x: Tensor, shape: Shape, index_map: Callable[[tuple[Index, ...]], tuple[Index, ...]]) -> Tensor:
    """The tensor whose element at an index is x's at another one."""
    y = Tensor(shape, x.dtype, lambda index: x.at(index_map(index)))
    if x.buffer is not None and y.size:
        _keep_view(x, y, index_map)
    return y


def _keep_view(x: Tensor, y: Tensor, index_map: Callable[[tuple[Index, ...]], tuple[Index, ...]]) -> None:
    """Say of y that it is a view of x's buffer, if it is: if the index map is affine and linear in every counter."""
    assert x.buffer is not None
    flat = flat_index(index_map(identity(y.shape)), x.strides, x.offset)
    if type(flat) is Affine:
        strides = tuple(flat.coefficient(axis) for axis in range(len(y.shape)))
        own = set(range(len(y.shape)))
        y.buffer, y.strides = x.buffer, strides
        y.offset = Affine(flat.offset, tuple(term for term in flat.terms if term[0] not in own))


def reshaped(x: Tensor, shape: Shape) -> Tensor | None:
    """x in another shape; None where that is no affine index map, so that x must be stored first."""
    if x.shape == shape:
        return x
    if x.size == 0:
        return Tensor(shape, x.dtype, lambda index: Constant(0, x.dtype))
    if x.is_contiguous():
        assert x.buffer is not None
        return view(x.buffer, shape, offset=x.offset)
    groups = _groups(x.shape, shape)
    if any(
        len([n for n in x.shape[a:b] if n > 1]) > 1 and not _splits(x.shape[a:b], shape[c:d]) for a, b, c, d in groups
    ):
        return None

    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        result: list[Index] = []
        for a, b, c, d in groups:
            result += _unravelled(flat_index(index[c:d], strides_of(shape[c:d])), x.shape[a:b])
        return tuple(result)

    return moved(x, shape, index_map)


def _groups(old: Shape, new: Shape) -> list[tuple[int, int, int, int]]:
    """The least runs of axes `old[a:b]`, `new[c:d]` that have as many elements."""
    groups = []
    a = c = 0
    while a < len(old) or c < len(new):
        b, d = a, c
        size_old = size_new = 1
        if b < len(old):
            size_old *= old[b]
            b += 1
        if d < len(new):
            size_new *= new[d]
            d += 1
        while size_old != size_new:
            if size_old < size_new:
                size_old *= old[b]
                b += 1
            else:
                size_new *= new[d]
                d += 1
        groups.append((a, b, c, d))
        a, c = b, d
    return groups


def _splits(old: Shape, new: Shape) -> bool:
    """Whether axes `new` are those of `old`, but for ones."""
    return [n for n in old if n > 1] == [n for n in new if n > 1]


def _unravelled(flat: Index, shape: Shape) -> list[Index]:
    """The index in an array of a shape with this flat index."""
    result: list[Index] = []
    large = [axis for axis, n in enumerate(shape) if n > 1]
    rest = flat
    for axis, stride in zip(range(len(shape)), strides_of(shape), strict=True):
        if axis not in large:
            result.append(ZERO)
        elif axis == large[-1]:
            result.append(rest)
        else:
            assert type(rest) is Affine
            parts = divide_affine(rest, stride)
            assert parts is not None
            quotient, rest = parts
            result.append(quotient)
    return result


def broadcast(x: Tensor, shape: Shape) -> Tensor:
    """x repeated to a larger shape."""
    if x.shape == shape:
        return x
    added = len(shape) - len(x.shape)
    ones = [n == 1 for n in x.shape]

    def index_map(index: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(ZERO if one else i for one, i in zip(ones, index[added:], strict=True))

    return moved(x, shape, index_map)
