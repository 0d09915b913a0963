"""Scalar functions of few instructions, for expressions of the compiler; the rest is in `kernels/math`.

Each takes operands of one element type (`select` and comparisons of mixed integers aside) and does what NumPy's
function does for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funcgrad.kernels import assembly, complex
from funcgrad.kernels.assembly import BOOL, F32, I32, I64, SIGNED, U64, UNSIGNED, Value
from funcgrad.kernels.complex import Complex

INF = float("inf")

# Arithmetic --------------------------------------------------------------------------------------------------------


def add(x1: Value, x2: Value) -> Value:
    """x1 + x2."""
    return x1 | x2 if x1.element is BOOL else x1 + x2


def subtract(x1: Value, x2: Value) -> Value:
    """x1 - x2."""
    return x1 - x2


def multiply(x1: Value, x2: Value) -> Value:
    """x1 * x2."""
    return x1 & x2 if x1.element is BOOL else x1 * x2


def divide(x1: Value, x2: Value) -> Value:
    """x1 / x2 of floating numbers."""
    return x1 / x2


def negative(x: Value) -> Value:
    """-x."""
    return -x


def positive(x: Value) -> Value:
    """x."""
    return x


def square(x: Any) -> Any:
    """x * x."""
    return complex.square(x) if type(x) is Complex else x * x


def reciprocal(x: Any) -> Any:
    """1 / x of floating and complex numbers."""
    return complex.reciprocal(x) if type(x) is Complex else 1.0 / x


def integer_reciprocal(x: Value) -> Value:
    """1 / x of integers, towards zero: 1 and -1 stay, others give 0; of 0 what NumPy's conversion of infinity gives."""
    y = select(x.equals(1), x, x.like(0))
    if x.element.kind == "u":
        return y
    y = select(x.equals(-1), x, y)
    bits = x.element.bits
    return select(x.equals(0), x.like(-(2 ** (bits - 1))), y) if bits >= 32 else y


def sqrt(x: Value) -> Value:
    """The square root, correctly rounded."""
    return assembly.sqrt(x)


def fma(x1: Value, x2: Value, x3: Value) -> Value:
    """x1 * x2 + x3 with one rounding."""
    return assembly.fma(x1, x2, x3)


def degrees_to_radians(x: Value) -> Value:
    """x pi / 180, by the constant that NumPy takes."""
    return x * (_PI_F32 / 180.0 if x.element is F32 else _PI / 180.0)


def radians_to_degrees(x: Value) -> Value:
    """x 180 / pi, by the constant that NumPy takes."""
    return x * (180.0 / _PI_F32 if x.element is F32 else 180.0 / _PI)


_PI, _PI_F32 = 3.141592653589793, 3.1415927410125732

# Signs -------------------------------------------------------------------------------------------------------------


def absolute(x: Any) -> Any:
    """|x|; of the least integer that integer itself."""
    if type(x) is Complex:
        return complex.absolute(x)
    if x.element.kind == "f":
        return assembly.fabs(x)
    return select(x < 0, -x, x) if x.element.kind == "i" else x


def copysign(x1: Value, x2: Value) -> Value:
    """|x1| with the sign of x2."""
    return assembly.copysign(x1, x2)


def sign(x: Value) -> Value:
    """-1, 0 or 1; NaN of NaN."""
    one, zero = x.like(1), x.like(0)
    if x.element.kind == "u":
        return select(x.equals(0), zero, one)
    y = select(x > 0, one, select(x < 0, x.like(-1), zero))
    return select(x.is_nan(), x, y) if x.element.kind == "f" else y


def sign_bit(x: Value) -> Value:
    """Whether the sign bit is set."""
    if x.element.kind == "f":
        return x.bits(SIGNED[x.element.bits]) < 0
    return x < 0


def heaviside(x1: Value, x2: Value) -> Value:
    """0 for negative x1, 1 for positive x1, x2 at 0."""
    step = select(x1 < 0.0, x1.like(0.0), x1.like(1.0))
    return select(x1.is_nan(), x1, select(x1.equals(0.0), x2, step))


# Rounding ----------------------------------------------------------------------------------------------------------


def _rounding(function: Callable[[Value], Value], name: str) -> Callable[[Value], Value]:
    def rounded(x: Value) -> Value:
        return function(x) if x.element.kind == "f" else x

    rounded.__name__ = name
    rounded.__doc__ = f"{name} of floating numbers; integers stay."
    return rounded


floor = _rounding(assembly.floor, "floor")
ceil = _rounding(assembly.ceil, "ceil")
trunc = _rounding(assembly.trunc, "trunc")
rint = _rounding(assembly.rint, "rint")


class RoundTo:
    """Rounding to decimal places as np.round does it: scaled by a power of ten, rounded, scaled back."""

    __slots__ = ("_scale", "decimals", "name")

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals
        self.name = f"round_{decimals}"
        self._scale = 10.0 ** abs(decimals)

    def __call__(self, x: Value) -> Value:
        """x rounded."""
        if self.decimals == 0:
            return assembly.rint(x)
        if self.decimals > 0:
            return assembly.rint(x * self._scale) / self._scale
        return assembly.rint(x / self._scale) * self._scale


def fraction(x: Value) -> Value:
    """x - trunc(x), with x's sign; 0 of infinities."""
    y = select(assembly.fabs(x).equals(INF), x.like(0.0), x - assembly.trunc(x))
    return assembly.copysign(y, x)


# The larger and the smaller ----------------------------------------------------------------------------------------


def maximum(x1: Value, x2: Value) -> Value:
    """The larger, x2 if they are equal; NaN if either is NaN."""
    first = x1 > x2
    return select(first | x1.is_nan() if x1.element.kind == "f" else first, x1, x2)


def minimum(x1: Value, x2: Value) -> Value:
    """The smaller, x2 if they are equal; NaN if either is NaN."""
    first = x1 < x2
    return select(first | x1.is_nan() if x1.element.kind == "f" else first, x1, x2)


def fmax(x1: Value, x2: Value) -> Value:
    """The larger, x2 if they are equal; the other one if one is NaN."""
    first = x1 > x2
    return select(first | x2.is_nan() if x1.element.kind == "f" else first, x1, x2)


def fmin(x1: Value, x2: Value) -> Value:
    """The smaller, x2 if they are equal; the other one if one is NaN."""
    first = x1 < x2
    return select(first | x2.is_nan() if x1.element.kind == "f" else first, x1, x2)


def clip(x: Value, low: Value, high: Value) -> Value:
    """x between two bounds that are the same everywhere: x if it equals one; NaN if a bound is NaN."""
    y = select(x < low, low, x)
    y = select(y > high, high, y)
    if x.element.kind != "f":
        return y
    return select(low.is_nan(), low, select(high.is_nan(), high, y))


def clip_each(x: Value, low: Value, high: Value) -> Value:
    """x between bounds of its own: the bound if x equals it."""
    return minimum(maximum(x, low), high)


def larger_share(t: Value, x1: Value, x2: Value) -> Value:
    """t where x1 > x2, half of it where they are equal, 0 where x1 < x2; NaN where there is no order."""
    half = select(x1.equals(x2), t * 0.5, t.like(float("nan")))
    return select(x1 > x2, t, select(x1 < x2, t.like(0.0), half))


# Choices, comparisons, logic ---------------------------------------------------------------------------------------


def select(condition: Value, x1: Any, x2: Any) -> Any:
    """x1 where the condition holds, else x2."""
    if type(x1) is Complex:
        return complex.chosen(condition, x1, x2)
    return assembly.select(condition, x1, x2)


def less(x1: Value, x2: Value) -> Value:
    """x1 < x2."""
    return x1 < x2


def less_equal(x1: Value, x2: Value) -> Value:
    """x1 <= x2."""
    return x1 <= x2


def greater(x1: Value, x2: Value) -> Value:
    """x1 > x2."""
    return x1 > x2


def greater_equal(x1: Value, x2: Value) -> Value:
    """x1 >= x2."""
    return x1 >= x2


def equal(x1: Value, x2: Value) -> Value:
    """x1 == x2."""
    return x1.equals(x2)


def not_equal(x1: Value, x2: Value) -> Value:
    """x1 != x2."""
    return x1.differs(x2)


class Mixed:
    """A comparison of a signed with an unsigned integer of 64 bits, or the other way round.

    Args:
        compare: One of the comparisons above.
        answers: What it says of a smaller and a larger number, in this order and the other.
    """

    __slots__ = ("_compare", "_larger", "_smaller", "name")

    def __init__(self, compare: Callable[[Value, Value], Value], answers: tuple[bool, bool]) -> None:
        self._compare = compare
        self._smaller, self._larger = answers
        self.name = f"mixed_{compare.__name__}"

    def __call__(self, x1: Value, x2: Value) -> Value:
        """The comparison."""
        y = self._compare(x1.bits(U64), x2.bits(U64))
        if x1.element is I64:
            return select(x1 < 0, y.like(self._smaller), y)
        return select(x2 < 0, y.like(self._larger), y)


def logical_and(x1: Value, x2: Value) -> Value:
    """Both, of truth values."""
    return x1 & x2


def logical_or(x1: Value, x2: Value) -> Value:
    """Either, of truth values."""
    return x1 | x2


def logical_xor(x1: Value, x2: Value) -> Value:
    """One and not the other, of truth values."""
    return x1 ^ x2


def logical_not(x: Value) -> Value:
    """The opposite of a truth value."""
    return ~x


def is_nan(x: Any) -> Any:
    """Whether x is NaN."""
    return x.is_nan() if x.element.kind in "fc" else x.differs(x)


def is_inf(x: Any) -> Any:
    """Whether x is infinite."""
    if type(x) is Complex:
        return complex.is_inf(x)
    return assembly.fabs(x).equals(INF) if x.element.kind == "f" else x.differs(x)


def is_finite(x: Any) -> Any:
    """Whether x is neither infinite nor NaN."""
    if type(x) is Complex:
        return complex.is_finite(x)
    return assembly.fabs(x) < INF if x.element.kind == "f" else x.equals(x)


def is_close(x1: Value, x2: Value, rtol: Value, atol: Value) -> Value:
    """Whether x1 is x2 within a tolerance; an infinity is only itself."""
    near = assembly.fabs(x1 - x2) <= atol + rtol * assembly.fabs(x2)
    return (near & is_finite(x2)) | x1.equals(x2)


def is_close_or_nan(x1: Value, x2: Value, rtol: Value, atol: Value) -> Value:
    """The same, or whether both are NaN."""
    return is_close(x1, x2, rtol, atol) | (x1.is_nan() & x2.is_nan())


# Bits --------------------------------------------------------------------------------------------------------------


def bitwise_and(x1: Value, x2: Value) -> Value:
    """x1 & x2."""
    return x1 & x2


def bitwise_or(x1: Value, x2: Value) -> Value:
    """x1 | x2."""
    return x1 | x2


def bitwise_xor(x1: Value, x2: Value) -> Value:
    """x1 ^ x2."""
    return x1 ^ x2


def invert(x: Value) -> Value:
    """~x."""
    return ~x


def _shift_is_short(x: Value) -> Value:
    """Whether a number of bits is one that the type has, not negative."""
    return x.bits(UNSIGNED[x.element.bits]) < x.element.bits


def left_shift(x1: Value, x2: Value) -> Value:
    """x1 << x2; 0 for as many bits as there are or more."""
    short = _shift_is_short(x2)
    return select(short, x1 << select(short, x2, x2.like(0)), x1.like(0))


def right_shift(x1: Value, x2: Value) -> Value:
    """x1 >> x2; 0, or -1 for negative x1, for as many bits as there are or more."""
    short = _shift_is_short(x2)
    if x1.element.kind == "u":
        return select(short, x1 >> select(short, x2, x2.like(0)), x1.like(0))
    return x1 >> select(short, x2, x2.like(x1.element.bits - 1))


def bit_count(x: Value) -> Value:
    """The number of bits set in |x|, an unsigned integer of 8 bits."""
    return x.builder.intrinsic("llvm.ctpop", absolute(x)).convert(assembly.U8)


# Indices -----------------------------------------------------------------------------------------------------------


def wrapped_index(i: Value, size: Value) -> Value:
    """An index from the front: a negative one counts from the end."""
    return select(i < 0, i + size, i)


# Conversions -------------------------------------------------------------------------------------------------------


class Convert:
    """A conversion to an element type as NumPy does it on x86, floating numbers out of the integers' range included."""

    __slots__ = ("element", "name")

    def __init__(self, element: assembly.Element) -> None:
        self.element = element
        self.name = f"to_{element.name}"

    def __call__(self, x: Any) -> Value:
        """x as the element type; of a complex number the real part."""
        if type(x) is Complex:
            if self.element is BOOL:
                return complex.is_true(x)
            x = x.re
        if x.element.kind == "f" and self.element.kind in "iu":
            return _to_integer(x, self.element)
        return x.convert(self.element)

    def __eq__(self, other: Any) -> bool:
        return type(other) is Convert and other.element is self.element

    def __hash__(self) -> int:
        return hash(self.element.name)


class ToComplex:
    """A conversion to complex numbers whose parts have an element type."""

    __slots__ = ("_part", "name")

    def __init__(self, part: assembly.Element) -> None:
        self._part = Convert(part)
        self.name = f"to_complex_{part.name}"

    def __call__(self, x: Any) -> Complex:
        """x as a complex number."""
        if type(x) is Complex:
            return x.each(self._part)
        re = self._part(x)
        return Complex(re, re.like(0.0))


def _to_integer(x: Value, element: assembly.Element) -> Value:
    """A floating number as an integer, towards zero; what is out of range, and NaN, as the processor's conversion."""
    if element.bits < 32:
        return _to_signed(x, I32).convert(element)
    if element.kind == "i":
        return _to_signed(x, element)
    if element.bits == 32:
        return _to_signed(x, I64).convert(element)
    small = x < 2.0**63
    y = _to_signed(select(small, x, x - 2.0**63), I64) ^ select(small | x.is_nan(), _like(x, 0), _like(x, -(2**63)))
    return y.bits(U64)


def _like(x: Value, number: int) -> Value:
    return x.builder.constant(number, I64, x.width)


def _to_signed(x: Value, element: assembly.Element) -> Value:
    """x as a signed integer, the least one where x is out of range or NaN."""
    limit = 2.0 ** (element.bits - 1)
    if x.element is assembly.F64 and element is I32:
        inside = (x > -limit - 1.0) & (x < limit)
    else:
        inside = (x >= -limit) & (x < limit)
    return select(inside, x, x.like(-limit)).convert(element)
