"""Complex numbers of compiled code: pairs of values, with the operators of `assembly.Value`.

Products, quotients and the like are NumPy's formulas, so that they round, and overflow, where NumPy's do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.kernels.assembly import F32, F64, Builder, Element, Value, copysign, fabs, select
from funcgrad.kernels.math import exponential, trigonometric
from funcgrad.kernels.math.arithmetic import INF
from funcgrad.kernels.math.powers import hypot

COMPLEX = Element("complex", "", "c", 0)

# The type of the parts.
PARTS: dict[np.dtype[Any], Element] = {np.dtype(np.complex128): F64, np.dtype(np.complex64): F32}


class Complex:
    """A complex number, or a vector of them.

    Attributes:
        re: The real parts.
        im: The imaginary parts.
    """

    __slots__ = ("im", "re")

    element = COMPLEX

    def __init__(self, re: Value, im: Value) -> None:
        self.re = re
        self.im = im

    @property
    def width(self) -> int:
        """How many numbers."""
        return self.re.width

    @property
    def builder(self) -> Builder:
        """The function under construction."""
        return self.re.builder

    def each(self, function: Callable[[Value], Value]) -> Complex:
        """A function of both parts."""
        return Complex(function(self.re), function(self.im))

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, self.im - other.im)

    def __mul__(self, other: Complex) -> Complex:
        """With one rounding less where the processor has fused products, as NumPy's loops have it."""
        re = _product_sum(self.re, other.re, -(self.im * other.im))
        return Complex(re, _product_sum(self.re, other.im, self.im * other.re))

    def __truediv__(self, other: Complex) -> Complex:
        """By the larger part of the divisor (Smith)."""
        wide = fabs(other.re) >= fabs(other.im)
        larger, smaller = select(wide, other.re, other.im), select(wide, other.im, other.re)
        zero = wide & other.re.equals(0.0) & other.im.equals(0.0)
        ratio = smaller / larger
        scale = 1.0 / (larger + smaller * ratio)
        a, b = select(wide, self.re, self.im), select(wide, self.im, self.re)
        re = (a + b * ratio) * scale
        im = select(wide, self.im - self.re * ratio, self.im * ratio - self.re) * scale
        nothing = fabs(other.re)
        return Complex(select(zero, self.re / nothing, re), select(zero, self.im / nothing, im))

    def __neg__(self) -> Complex:
        return Complex(-self.re, -self.im)

    def equals(self, other: Complex) -> Value:
        """Whether both parts are equal."""
        return self.re.equals(other.re) & self.im.equals(other.im)

    def differs(self, other: Complex) -> Value:
        """Whether either part is not equal."""
        return self.re.differs(other.re) | self.im.differs(other.im)

    def is_nan(self) -> Value:
        """Whether either part is NaN."""
        return self.re.is_nan() | self.im.is_nan()

    __hash__ = None  # type: ignore[assignment]


def real(x: Complex) -> Value:
    """The real part."""
    return x.re


def imaginary(x: Complex) -> Value:
    """The imaginary part."""
    return x.im


def conjugate(x: Complex) -> Complex:
    """The number with the opposite imaginary part."""
    return Complex(x.re, -x.im)


def pair(re: Value, im: Value) -> Complex:
    """A complex number of its parts."""
    return Complex(re, im)


def absolute(x: Complex) -> Value:
    """The distance from 0."""
    y: Value = hypot(x.re, x.im)
    return y


def square(x: Complex) -> Complex:
    """x * x."""
    return x * x


def _product_sum(x1: Value, x2: Value, x3: Value) -> Value:
    """x1 * x2 + x3, rounded once where that is one instruction, else twice."""
    return x1.builder.intrinsic("llvm.fmuladd", x1, x2, x3)


def reciprocal(x: Complex) -> Complex:
    """1 / x, by the larger part of x (Smith)."""
    tall = fabs(x.re) <= fabs(x.im)
    larger, smaller = select(tall, x.im, x.re), select(tall, x.re, x.im)
    ratio = smaller / larger
    size = larger + smaller * ratio
    one = 1.0 / size
    part = ratio / size
    return Complex(select(tall, part, one), -select(tall, one, part))


def exp(x: Complex) -> Complex:
    """e^re (cos im + i sin im); where e^re alone overflows, in two steps. Special values are those of C."""
    large = x.re > _LARGE[x.re.element]
    lift = float(_LARGE[x.re.element])
    size = exponential.exp(select(large, x.re - lift, x.re))
    more = select(large, x.re.like(math.exp(lift)), x.re.like(1.0))
    level = x.im.equals(0.0)
    re = size * select(level, more, trigonometric.cos(x.im) * more)
    im = select(level, x.im, size * (trigonometric.sin(x.im) * more))
    # Without a direction: nothing is left of e^-inf, and e^inf is infinite.
    turning = ~(fabs(x.im) < INF)
    vanishing, growing = turning & x.re.equals(-INF), turning & x.re.equals(INF)
    return Complex(
        select(vanishing, 0.0, select(growing, INF, re)), select(vanishing, copysign(x.re.like(0.0), x.im), im)
    )


# From where e^x is taken in two steps.
_LARGE = {F64: 709.0, F32: 88.0}


def is_inf(x: Complex) -> Value:
    """Whether either part is infinite."""
    return fabs(x.re).equals(INF) | fabs(x.im).equals(INF)


def is_finite(x: Complex) -> Value:
    """Whether neither part is infinite or NaN."""
    return (fabs(x.re) < INF) & (fabs(x.im) < INF)


def is_true(x: Complex) -> Value:
    """Whether x is not 0."""
    return x.re.differs(0.0) | x.im.differs(0.0)


def chosen(condition: Value, x1: Complex, x2: Complex) -> Complex:
    """x1 where the condition holds, else x2."""
    return Complex(select(condition, x1.re, x2.re), select(condition, x1.im, x2.im))


# In memory the parts take turns --------------------------------------------------------------------------------------


def parted(x: Value) -> Complex:
    """The numbers of a vector with real and imaginary parts by turns."""
    width = x.width // 2

    def every_second(first: int) -> Value:
        if width == 1:
            return x.builder.emit(f"extractelement {x.type} {x.text}, i64 {first}", x.element)
        lanes = ", ".join(f"i32 {2 * k + first}" for k in range(width))
        text = f"shufflevector {x.type} {x.text}, {x.type} poison, <{width} x i32> <{lanes}>"
        return x.builder.emit(text, x.element, width)

    return Complex(every_second(0), every_second(1))


def by_turns(x: Complex) -> Value:
    """A vector of real and imaginary parts by turns, of vectors."""
    width, re, im = x.width, x.re, x.im
    lanes = ", ".join(f"i32 {k}, i32 {width + k}" for k in range(width))
    text = f"shufflevector {re.type} {re.text}, {im.type} {im.text}, <{2 * width} x i32> <{lanes}>"
    return x.builder.emit(text, re.element, 2 * width)


def constant(builder: Builder, value: Any, element: Element) -> Complex:
    """A constant."""
    number = complex(value)
    return Complex(builder.constant(number.real, element), builder.constant(number.imag, element))
