"""Which element of a buffer is meant: affine functions of loop counters, and computed ones.

An index is an `Affine` wherever it can be; a gather's is an `Expression`, which the loop computes. All functions here
take either, and stay affine as long as they can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

# A loop counter: its number, its coefficient and how far it counts.
Term: TypeAlias = tuple[int, int, int]


class Affine:
    """offset + the sum of coefficient * counter.

    Attributes:
        offset: What it is where all counters are 0.
        terms: `(axis, coefficient, extent)`, by axis; coefficients are not 0 and extents above 1.
    """

    __slots__ = ("_hash", "offset", "terms")

    def __init__(self, offset: int, terms: tuple[Term, ...] = ()) -> None:
        self.offset = offset
        self.terms = terms
        self._hash = hash((offset, terms))

    def __eq__(self, other: object) -> bool:
        return type(other) is Affine and self.offset == other.offset and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [f"{name(axis)}" if c == 1 else f"{c}*{name(axis)}" for axis, c, _ in self.terms]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return " + ".join(parts)

    def coefficient(self, axis: int) -> int:
        """By how much one step of a counter moves it."""
        return next((c for a, c, _ in self.terms if a == axis), 0)

    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value."""
        low = self.offset + sum(c * (n - 1) for _, c, n in self.terms if c < 0)
        high = self.offset + sum(c * (n - 1) for _, c, n in self.terms if c > 0)
        return low, high

    def renamed(self, axes: dict[int, int]) -> Affine:
        """The same of other counters."""
        return Affine(self.offset, tuple(sorted((axes.get(a, a), c, n) for a, c, n in self.terms)))


def name(axis: int) -> str:
    """A counter in print: i0, i1, ... of a nest, t0, t1, ... of the loops around it."""
    return f"i{axis}" if axis >= 0 else f"t{-1 - axis}"


class Expression:
    """A scalar at one point of a nest's domain; what it is made of, `loops.py` says.

    Attributes:
        dtype: Its NumPy dtype.
        cost: About how many instructions it takes.
    """

    __slots__ = ("cost", "dtype")

    dtype: np.dtype[Any]
    cost: float


Index: TypeAlias = Affine | Expression

ZERO = Affine(0)


def counter(axis: int, extent: int) -> Affine:
    """A loop counter itself; 0, if it does not count."""
    return Affine(0, ((axis, 1, extent),)) if extent > 1 else ZERO


def add_affine(x1: Affine, x2: Affine) -> Affine:
    """The sum of two."""
    if not x1.terms:
        return Affine(x1.offset + x2.offset, x2.terms)
    if not x2.terms:
        return Affine(x1.offset + x2.offset, x1.terms)
    coefficients: dict[int, tuple[int, int]] = {a: (c, n) for a, c, n in x1.terms}
    for a, c, n in x2.terms:
        coefficients[a] = (coefficients.get(a, (0, n))[0] + c, n)
    return Affine(x1.offset + x2.offset, tuple(sorted((a, c, n) for a, (c, n) in coefficients.items() if c)))


def scale_affine(x: Affine, factor: int) -> Affine:
    """An integer multiple."""
    if factor == 1:
        return x
    if factor == 0:
        return ZERO
    return Affine(x.offset * factor, tuple((a, c * factor, n) for a, c, n in x.terms))


def divide_affine(x: Affine, divisor: int) -> tuple[Affine, Affine] | None:
    """Quotient and remainder as affine functions, where they are; None where not."""
    whole = tuple((a, c // divisor, n) for a, c, n in x.terms if c % divisor == 0)
    rest = Affine(x.offset % divisor, tuple(term for term in x.terms if term[1] % divisor))
    low, high = rest.bounds()
    if low < 0 or high >= divisor:
        return None
    return Affine(x.offset // divisor, whole), rest


def strides_of(shape: Iterable[int]) -> tuple[int, ...]:
    """The strides of contiguous elements, in elements."""
    strides: list[int] = []
    size = 1
    for n in reversed(tuple(shape)):
        strides.append(size)
        size *= n
    return tuple(reversed(strides))
