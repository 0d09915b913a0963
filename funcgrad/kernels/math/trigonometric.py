"""sin, cos and tan for every argument: x = q pi/2 + r, and polynomials in r on [-pi/4, pi/4]; or sixteenths of pi.

Up to 2^20 the reduction is that of Cody and Waite with pi/2 in three parts; above, in a function that only vectors
with such a number call, that of Payne and Hanson: integers of 192 bits, the product of the mantissa and those bits of
2/pi that matter. sin and cos of one number share all but the last few instructions. float32 goes by way
of float64, of which it needs fewer digits.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from funcgrad.kernels.assembly import F32, F64, I64, U64, Value, fabs, fma, select
from funcgrad.kernels.definitions import kernel, looked_up, outlined, rarely
from funcgrad.kernels.math.arithmetic import (
    INF,
    NAN,
    Pair,
    exact_product,
    exact_sum,
    format_of,
    horner,
    polynomial,
    quick_sum,
)
from funcgrad.kernels.math.registers import ENTRIES, entry, near_inverse

# pi/2 in three parts: a multiple of the second has no rounding error while the multiplier is below 2^20.
HALF_PI = (1.5707963267948966, 6.12323399538461e-17, 3.5215598651832e-27)
HALF_PI_REST = 6.123233995736766e-17
TWO_BY_PI = 0.6366197723675814
# The greatest argument of the first reduction.
LARGEST = 2.0**20

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in powers of r^2, |r| <= pi/4: to 2^-57.9 of sin and 2^-63.9 of cos.
SINE = (
    -0.1666666666666663,
    0.00833333333332184,
    -0.0001984126982935855,
    2.755731353852943e-06,
    -2.5050734392634187e-08,
    1.5895433529998964e-10,
)
COSINE = (
    0.041666666666666595,
    -0.0013888888888873338,
    2.4801587288997485e-05,
    -2.7557314215301284e-07,
    2.087570511544065e-09,
    -1.1358732805907325e-11,
)

BY_PI = 0.3183098861837907
# sin and cos of multiples of pi/16, the former as pairs; (sin(r) - r) / r^3 and (cos(r) - 1) / r^2 in powers of r^2 for
# |r| <= pi/32: to 2^-67.2 of sin and 2^-64.0.
SINES = (
    0.0,
    0.19509032201612828,
    0.3826834323650898,
    0.5555702330196022,
    0.7071067811865476,
    0.8314696123025452,
    0.9238795325112867,
    0.9807852804032304,
    1.0,
    0.9807852804032304,
    0.9238795325112867,
    0.8314696123025452,
    0.7071067811865476,
    0.5555702330196022,
    0.3826834323650898,
    0.19509032201612828,
)
SINES_REST = (
    0.0,
    -7.991079068461731e-18,
    -1.0050772696461588e-17,
    4.709410940561677e-17,
    -4.833646656726457e-17,
    1.4073856984728024e-18,
    1.7645047084336677e-17,
    1.8546939997825006e-17,
    0.0,
    1.8546939997825006e-17,
    1.7645047084336677e-17,
    1.4073856984728024e-18,
    -4.833646656726457e-17,
    4.709410940561677e-17,
    -1.0050772696461588e-17,
    -7.991079068461731e-18,
)
COSINES = (
    1.0,
    0.9807852804032304,
    0.9238795325112867,
    0.8314696123025452,
    0.7071067811865476,
    0.5555702330196022,
    0.3826834323650898,
    0.19509032201612828,
    0.0,
    -0.19509032201612828,
    -0.3826834323650898,
    -0.5555702330196022,
    -0.7071067811865476,
    -0.8314696123025452,
    -0.9238795325112867,
    -0.9807852804032304,
)
SINE_SHORT = (-0.16666666666666666, 0.008333333333321171, -0.00019841269413017266, 2.7551673567219e-06)
COSINE_SHORT = (-0.49999999999999983, 0.041666666666498764, -0.0013888888363240046, 2.479510447639699e-05)
# For float32: (sin(r) - r) / r^3 in powers of r^2, |r| <= pi/2, to 2^-35.3 of sin; and for the tangent that and
# (cos(r) - 1) / r^2 for |r| <= pi/4, to 2^-37.5 and 2^-34.1.
SINE_F32 = (
    -0.1666666662610748,
    0.008333331106753763,
    -0.00019840867961029595,
    2.752537133571713e-06,
    -2.3888673591437395e-08,
)
TAN_SINE_F32 = (-0.16666666641607175, 0.00833332938363519, -0.00019839334103778774, 2.7183044412105345e-06)
TAN_COSINE_F32 = (-0.49999999724890754, 0.04166662329901222, -0.0013886762971374049, 2.439037143336821e-05)

# 2/pi to 1216 bits, after 64 zeros, in words of 64 bits.
_TWO_BY_PI_BITS = (
    "0" * 16
    + "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    + "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    + "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    + "56033046fc7b6bab"
)
TWO_BY_PI_WORDS = tuple(int(_TWO_BY_PI_BITS[i : i + 16], 16) for i in range(0, len(_TWO_BY_PI_BITS), 16))


# Reduction: |x| = q pi/2 + r


def quarters(x: Value) -> tuple[Value, Value, Value]:
    """q, in the last bits of an integer, and r as a pair, for |x| up to 2^20; r is NaN for NaN and infinity."""
    form = format_of(x)
    x = fabs(x)
    shifted = fma(x, TWO_BY_PI, form.rounder)
    q = shifted - form.rounder
    first = fma(q, -HALF_PI[0], x)
    r = fma(q, -HALF_PI[1], first)
    rest = fma(q, -HALF_PI[1], first - r)
    return shifted.bits(I64), r, fma(q, -HALF_PI[2], rest)


def quarters_of_large(x: Value) -> tuple[Value, Value, Value]:
    """The same for every |x| from 2^16 to the greatest finite number.

    x = m 2^e, so that bits of 2/pi above 2^(2 - e) add multiples of 4 to x 2/pi; the 192 after those are enough: no
    double is closer than 2^-62 to a multiple of pi/2, relative to it.
    """
    bits = x.bits(I64)
    exponent = ((bits >> 52) & 2047) - 1075
    exponent = select(exponent < -36, -36, exponent)
    mantissa = ((bits & (2**52 - 1)) | 2**52).bits(U64)
    position = exponent + 62
    index, shift = position >> 6, (position & 63).bits(U64)
    words = [looked_up("fg_two_by_pi", TWO_BY_PI_WORDS, U64, index + i) for i in range(4)]
    shifted = [(a << shift) | ((b >> 1) >> (63 - shift)) for a, b in pairwise(words)]
    top, middle, low = _product(mantissa, shifted)
    # The upper two bits are q, what follows is a fraction, taken as -1/2 to 1/2: its bits are cut into parts
    # that doubles hold.
    q = ((top >> 61) + 1) >> 1
    fraction = ((top << 2) | (middle >> 62)).bits(I64)
    after = (middle << 2) | (low >> 62)
    part, rest = exact_sum((fraction >> 32).convert(F64) * 2.0**-32, (fraction & 0xFFFFFFFF).convert(F64) * 2.0**-64)
    last = (after & 0xFFFFFFFF).bits(I64).convert(F64) * 2.0**-128 + ((low << 2) >> 32).bits(I64).convert(
        F64
    ) * 2.0**-160
    part, rest = quick_sum(part, rest + ((after >> 32).bits(I64).convert(F64) * 2.0**-96 + last))
    r, error = exact_product(part, part.like(HALF_PI[0]))
    r, rest = quick_sum(r, fma(part, HALF_PI_REST, fma(rest, HALF_PI[0], error)))
    return q.bits(I64), select(fabs(x) < INF, r, NAN), rest


def _product(mantissa: Value, words: list[Value]) -> list[Value]:
    """The last 192 bits of a product of 53 and 192 bits, in words, digit by digit of 32 bits."""
    mask = 0xFFFFFFFF
    high, low = mantissa >> 32, mantissa & mask
    digits = [digit for word in reversed(words) for digit in (word & mask, word >> 32)]
    results = []
    carry = low.like(0)
    below = low.like(0)
    for digit in digits:
        first = low * digit + carry
        second = high * below + (first & mask)
        results.append(second & mask)
        carry = (first >> 32) + (second >> 32)
        below = digit
    return [results[5] << 32 | results[4], results[3] << 32 | results[2], results[1] << 32 | results[0]]


# Of a reduced argument


def sine_and_cosine(r: Value, rest: Value) -> tuple[Pair, Pair]:
    """sin and cos of r + rest, |r| <= pi/4, each as two numbers to add."""
    square = r * r
    half = 0.5 * square
    near = 1.0 - half
    sine = fma(r * square, polynomial(square, SINE), rest * near)
    cosine = fma(square * square, polynomial(square, COSINE), fma(-r, rest, (1.0 - near) - half))
    return (r, sine), (near, cosine)


def _sine(q: Value, r: Value, rest: Value, x: Value) -> Value:
    """sin(x) of |x| reduced."""
    sine, cosine = sine_and_cosine(r, rest)
    y = select((q & 1).differs(0), cosine[0] + cosine[1], sine[0] + sine[1])
    return (y.bits(I64) ^ (((q << 62) ^ x.bits(I64)) & -(2**63))).bits(F64)


def _tangent(q: Value, r: Value, rest: Value, x: Value) -> Value:
    """tan(x) of |x| reduced: the quotient, and for float64 a correction by what it leaves."""
    sine, cosine = sine_and_cosine(r, rest)
    odd = (q & 1).differs(0)
    (a, a_rest), (b, b_rest) = quick_sum(*sine), quick_sum(*cosine)
    upper, upper_rest = select(odd, b, a), select(odd, b_rest, a_rest)
    lower, lower_rest = select(odd, a, b), select(odd, a_rest, b_rest)
    inverse = 1.0 / lower
    y = upper * inverse
    left = fma(-y, lower_rest, fma(-y, lower, upper) + upper_rest)
    y = fma(left, inverse, y)
    return (y.bits(I64) ^ (((q << 63) ^ x.bits(I64)) & -(2**63))).bits(F64)


@outlined
def sine_of_large(x: Value, quarter: Value) -> Value:
    """sin(x + quarter pi/2) for |x| from 2^16, quarter 0; for positive x and quarter 1 it is cos(x)."""
    q, r, rest = quarters_of_large(x)
    return _sine(q + quarter.convert(I64), r, rest, x)


def _cosine_of_large(x: Value) -> Value:
    return sine_of_large(fabs(x), 1.0)


def _sine_of_large(x: Value) -> Value:
    return sine_of_large(x, 0.0)


@outlined
def tan_of_large(x: Value) -> Value:
    """tan(x) for |x| from 2^16."""
    return _tangent(*quarters_of_large(x), x)


# Up to 2^20: |x| = k pi/16 + r, a table of sin and cos of k pi/16, and polynomials in r


def _sixteenths(size: Value) -> tuple[Value, Value, Value, Value]:
    """k in the last bits of an integer, r, sin(r) - r and cos(r) - 1."""
    first, second, third = (-2.0 / ENTRIES * part for part in HALF_PI)
    rounder = format_of(size).rounder
    shifted = fma(size, ENTRIES * BY_PI, rounder)
    k = shifted - rounder
    whole = fma(k, first, size)
    r = fma(k, second, whole)
    square = r * r
    rest = fma(k, third, fma(k, second, whole - r))
    bend = fma(r * square, polynomial(square, SINE_SHORT), rest)
    return shifted.bits(I64), r, bend, square * polynomial(square, COSINE_SHORT)


def _sine_at(index: Value, r: Value, bend: Value, drop: Value) -> tuple[Value, Value]:
    """The size of sin(k pi/16 + r), or its negative, and k with the sign in its first bit; the cosine for k + 8."""
    sine, cosine = entry("fg_sines", SINES, index), entry("fg_cosines", COSINES, index)
    small = fma(cosine, bend, fma(sine, drop, entry("fg_sines_rest", SINES_REST, index)))
    return sine + fma(cosine, r, small), index << 59


def _sine_of(x: Value, parts: tuple[Value, Value, Value, Value]) -> Value:
    y, sign = _sine_at(*parts)
    return (y.bits(I64) ^ ((sign ^ x.bits(I64)) & -(2**63))).bits(F64)


def _cosine_of(x: Value, parts: tuple[Value, Value, Value, Value]) -> Value:
    index, *rest = parts
    y, sign = _sine_at(index + ENTRIES // 2, *rest)
    return (y.bits(I64) ^ (sign & -(2**63))).bits(F64)


# float32 up to 2^20, by float64 of fewer digits: sin and cos by halves of a circle, tan by quarters


def _short_sine(x: Value, shift: float = 0.0) -> Value:
    """sin(x + shift pi), of a shift 0 or 1/2: of x = (k - shift) pi + r it is sin(r), or its negative for odd k."""
    wide = x.convert(F64)
    rounder = format_of(wide).rounder
    shifted = fma(wide, BY_PI, shift) + rounder if shift else fma(wide, BY_PI, rounder)
    k = shifted - rounder - shift if shift else shifted - rounder
    r = fma(k, -2.0 * HALF_PI[1], fma(k, -2.0 * HALF_PI[0], wide))
    square = r * r
    y = r * fma(square, horner(square, SINE_F32), 1.0)
    return (y.bits(I64) ^ (shifted.bits(I64) << 63)).bits(F64).convert(x.element)


def _short_tangent(x: Value) -> Value:
    """tan(x): of r beside a multiple of pi/2, sin(r) / cos(r) or -cos(r) / sin(r)."""
    wide = x.convert(F64)
    rounder = format_of(wide).rounder
    shifted = fma(wide, TWO_BY_PI, rounder)
    k = shifted - rounder
    r = fma(k, -HALF_PI[1], fma(k, -HALF_PI[0], wide))
    square = r * r
    sine = r * fma(square, horner(square, TAN_SINE_F32), 1.0)
    cosine = fma(square, horner(square, TAN_COSINE_F32), 1.0)
    sign = shifted.bits(I64) << 63
    odd = sign < 0
    y = select(odd, cosine, sine) * near_inverse(select(odd, sine, cosine))
    return (y.bits(I64) ^ sign).bits(F64).convert(x.element)


def _beyond(x: Value, y: Value, large: Callable[[Value], Value]) -> Value:
    """y, or a function of float64 where x is beyond the first reduction."""
    return rarely(fabs(x) > LARGEST, y, lambda x: large(x.convert(F64)).convert(x.element), x)


@kernel
def sin(x: Value) -> Value:
    """The sine, at most 0.9 ulp off; NaN for infinities."""
    y = _short_sine(x) if x.element is F32 else _sine_of(x, _sixteenths(fabs(x)))
    return _beyond(x, y, _sine_of_large)


@kernel
def cos(x: Value) -> Value:
    """The cosine, at most 0.9 ulp off; NaN for infinities."""
    y = _short_sine(x, 0.5) if x.element is F32 else _cosine_of(x, _sixteenths(fabs(x)))
    return _beyond(x, y, _cosine_of_large)


@kernel
def tan(x: Value) -> Value:
    """The tangent, at most 1 ulp off; NaN for infinities."""
    return _beyond(x, _short_tangent(x) if x.element is F32 else _tangent(*quarters(x), x), tan_of_large)


def sin_and_cos(x: Value) -> Pair:
    """Both of one number; in float64 for little more than one of them: all but the table's entries is shared."""
    if x.element is F32:
        sine, cosine = _short_sine(x), _short_sine(x, 0.5)
    else:
        parts = _sixteenths(fabs(x))
        sine, cosine = _sine_of(x, parts), _cosine_of(x, parts)
    return _beyond(x, sine, _sine_of_large), _beyond(x, cosine, _cosine_of_large)
