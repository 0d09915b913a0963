"""Floating numbers by their parts: remainders without rounding, mantissas and exponents, neighbours; as NumPy's."""

from __future__ import annotations

from funcgrad.kernels.assembly import F64, I32, Value, copysign, fabs, floor, fma, select, trunc
from funcgrad.kernels.definitions import Kernel, kernel, outlined, rarely
from funcgrad.kernels.math.arithmetic import INF, NAN, format_of

# Remainders --------------------------------------------------------------------------------------------------------


@outlined
def _fmod_of_distant(x1: Value, x2: Value) -> Value:
    """C's fmod, of numbers of which the quotient has more digits than a number."""
    return x1.builder.emit(f"frem {x1.type} {x1.text}, {x2.text}", x1.element, x1.width)


@kernel
def fmod(x1: Value, x2: Value) -> Value:
    """x1 - x2 trunc(x1 / x2), exactly: where the quotient was rounded up to a whole number, x2 is put back."""
    element = x1.element
    x1, x2 = x1.convert(F64), x2.convert(F64)
    quotient = x1 / x2
    rest = fma(-trunc(quotient), x2, x1)
    size = fabs(x2)
    rest = select(x1 < 0.0, select(rest > 0.0, rest - size, rest), select(rest < 0.0, rest + size, rest))
    # The sign of a zero is x1's.
    rest = copysign(rest, x1)
    rest = select((fabs(x1) < INF) & size.equals(INF), x1, rest)
    distant = ~(fabs(quotient) < 2.0**52) & (size > 0.0)
    return rarely(distant, rest, _fmod_of_distant, x1, x2).convert(element)


def _divided(x1: Value, x2: Value) -> tuple[Value, Value]:
    """The quotient rounded down, and what it leaves, as Python and NumPy divide."""
    rest = fmod(x1, x2)
    quotient = (x1 - rest) / x2
    uneven = rest.differs(0.0)
    opposite = uneven & ((x2 < 0.0) ^ (rest < 0.0))
    quotient = select(opposite, quotient - 1.0, quotient)
    remainder = select(uneven, select(opposite, rest + x2, rest), copysign(rest.like(0.0), x2))
    whole = floor(quotient)
    whole = select(quotient - whole > 0.5, whole + 1.0, whole)
    ratio = x1 / x2
    whole = select(quotient.differs(0.0), whole, copysign(whole.like(0.0), ratio))
    nothing = x2.equals(0.0)
    return select(nothing, ratio, whole), select(nothing, NAN, remainder)


@kernel
def floor_divide(x1: Value, x2: Value) -> Value:
    """The quotient rounded down, of which the remainder is exact; bit by bit NumPy's."""
    return _divided(x1, x2)[0]


@kernel
def remainder(x1: Value, x2: Value) -> Value:
    """What the quotient rounded down leaves, with x2's sign; bit by bit NumPy's."""
    return _divided(x1, x2)[1]


# Mantissas and exponents -------------------------------------------------------------------------------------------


def _parts(x: Value) -> tuple[Value, Value]:
    """Mantissas from 1/2 to 1, with x's sign, and exponents; x itself and 0 where it is zero, infinite or NaN."""
    form = format_of(x)
    lift = form.mantissa + 2
    small = fabs(x) < form.least
    bits = select(small, x * 2.0**lift, x).bits(form.integer)
    exponent = ((bits >> form.mantissa) & (2 * form.bias + 1)) - (form.bias - 1)
    exponent = select(small, exponent - lift, exponent)
    mantissa = ((bits & ~((2 * form.bias + 1) << form.mantissa)) | ((form.bias - 1) << form.mantissa)).bits(x.element)
    ordinary = x.differs(0.0) & (fabs(x) < INF)
    return select(ordinary, mantissa, x), select(ordinary, exponent, 0)


@kernel
def mantissa(x: Value) -> Value:
    """The first result of frexp: m of x = m 2^e with 1/2 <= |m| < 1."""
    return _parts(x)[0]


def _exponent(x: Value) -> Value:
    """The second result of frexp, an int32."""
    return _parts(x)[1].convert(I32)


exponent = Kernel("exponent", _exponent, lambda element: I32)


def ldexp(x: Value, exponent: Value) -> Value:
    """x times 2 to an integer of any type, rounded once."""
    form = format_of(x)
    most = 4 * form.bias
    limited = select(exponent > _limit(exponent, most), exponent.like(_limit(exponent, most)), exponent)
    if exponent.element.kind == "i":
        least = max(-most, -(1 << (exponent.element.bits - 1)))
        limited = select(limited < least, limited.like(least), limited)
    m, own = _parts(x)
    total = own + limited.convert(form.integer)
    # The mantissa times a power that leaves it normal, and then the rest of the power, that rounds or overflows.
    first = select(total > form.bias - 1, form.bias - 1, total)
    first = select(first < 2 - form.bias, 2 - form.bias, first)
    second = total - first
    second = select(second > form.bias - 1, form.bias - 1, second)
    second = select(second < 1 - form.bias, 1 - form.bias, second)
    return m * _power_of_two(first, x) * _power_of_two(second, x)


def _limit(x: Value, most: int) -> int:
    return min(most, (1 << (x.element.bits - (x.element.kind == "i"))) - 1)


def _power_of_two(exponent: Value, x: Value) -> Value:
    form = format_of(x)
    return ((exponent + form.bias) << form.mantissa).bits(x.element)


# Neighbours --------------------------------------------------------------------------------------------------------


@kernel
def nextafter(x1: Value, x2: Value) -> Value:
    """The number next to x1 in the direction of x2; x2 where they are equal."""
    integer = format_of(x1).integer
    bits = x1.bits(integer)
    away = (x2 > x1) ^ (x1 < 0.0)
    moved = (select(away, bits + 1, bits - 1)).bits(x1.element)
    least = copysign(((bits & 0) + 1).bits(x1.element), x2)
    y = select(x1.equals(0.0), least, moved)
    y = select(x1.equals(x2), x2, y)
    return select(x1.is_nan() | x2.is_nan(), x1 + x2, y)


@kernel
def spacing(x: Value) -> Value:
    """The distance to the next number away from zero, with x's sign; the least number at zeros."""
    integer = format_of(x).integer
    following = (x.bits(integer) + 1).bits(x.element)
    y = select(x.equals(0.0), ((x.bits(integer) & 0) + 1).bits(x.element), following - x)
    return select(fabs(x) < INF, y, NAN)
