"""What the kernels share: the formats of floating numbers, polynomials, and sums of two numbers.

A pair (a, b) is the unevaluated sum a + b with |b| at most half a unit in the last place of a.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from funcgrad.kernels.assembly import F32, F64, I32, I64, U32, U64, Element, Value, fma

Pair = tuple[Value, Value]


class Format(NamedTuple):
    """How numbers of a floating type are made.

    Attributes:
        integer: The signed integer of the same size.
        unsigned: The unsigned one.
        mantissa: Bits of the fraction.
        bias: Of the exponent.
        rounder: Added to a number below a quarter of it, it leaves the nearest integer in the lowest bits.
        least: The least normal number.
        greatest: The greatest finite number.
    """

    integer: Element
    unsigned: Element
    mantissa: int
    bias: int
    rounder: float
    least: float
    greatest: float


_FORMATS = {
    F64: Format(I64, U64, 52, 1023, 1.5 * 2.0**52, 2.0**-1022, float.fromhex("0x1.fffffffffffffp1023")),
    F32: Format(I32, U32, 23, 127, 1.5 * 2.0**23, 2.0**-126, float.fromhex("0x1.fffffep127")),
}

INF = float("inf")
NAN = float("nan")


def format_of(x: Value) -> Format:
    """The format of a value's numbers."""
    return _FORMATS[x.element]


def chosen(x: Value, double: Any, single: Any) -> Any:
    """The constants for float64 or for float32."""
    return double if x.element is F64 else single


# Polynomials


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..., even and odd powers apart: half as deep as Horner's rule."""
    if len(coefficients) < 4:
        return horner(x, coefficients)
    square = x * x
    return fma(x, horner(square, coefficients[1::2]), horner(square, coefficients[0::2]))


def horner(x: Value, coefficients: Sequence[Any]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ... by Horner's rule."""
    y = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = fma(x, y, c)
    return y


# Pairs


def quick_sum(a: Value, b: Any) -> Pair:
    """a + b, exactly; |a| must be at least |b|, or a zero (Dekker)."""
    total = a + b
    return total, b - (total - a)


def exact_sum(a: Value, b: Any) -> Pair:
    """a + b, exactly (Knuth)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def exact_product(a: Value, b: Any) -> Pair:
    """a * b, exactly but for underflow."""
    product = a * b
    return product, fma(a, b, -product)


def quotient(x: Value, a: Value, b: Value) -> Value:
    """x / (a + b) for |a| at least |b|, as if the sum were exact: 0.5 ulp beside the error of x."""
    total, lost = quick_sum(a, b)
    inverse = 1.0 / total
    y = x * inverse
    return fma(fma(-y, lost, fma(-y, total, x)), inverse, y)
