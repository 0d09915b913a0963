"""sin, cos and tan in float32: |x| = q pi/2 + r for numbers up to 2^16, and polynomials in r on [-pi/4, pi/4].

pi/2 has three parts. What remains of a number after a multiple of the first is exact, and next to a multiple of pi/2,
where a multiple of the second is as large, so is their difference; its rounding error is kept elsewhere.
"""

from __future__ import annotations

from funcgrad.kernels.assembly import Value, fabs, fma, select
from funcgrad.kernels.math.arithmetic import Pair, exact_product, format_of, horner, polynomial, quick_sum

LARGEST = 2.0**16
TWO_BY_PI = 0.6366197723675814
HALF_PI = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)

# (sin(r) - r) / r^3, (cos(r) - 1 + r^2/2) / r^4 and (tan(r) - r) / r^3 in powers of r^2, |r| <= pi/4: to 2^-28.0 of
# sin, 2^-33.0 of cos and 2^-27.2 of tan.
SINE = (-0.1666665460231601, 0.008332160272036725, -0.00019515213751086763)
COSINE = (0.0416666456701353, -0.0013887315612711479, 2.4433082031377806e-05)
TANGENT = (
    0.3333333432674408,
    0.1333322823047638,
    0.05399511009454727,
    0.021616071462631226,
    0.00997984316200018,
    0.0011571082286536694,
    0.0038598477840423584,
)
_SIGN = -(1 << 31)


def _quadrants(x: Value) -> tuple[Value, Value, Value]:
    """q in the last bits of an integer, and r as a pair."""
    form = format_of(x)
    size = fabs(x)
    shifted = fma(size, TWO_BY_PI, form.rounder)
    q = shifted - form.rounder
    first = fma(q, -HALF_PI[0], size)
    second, lost = exact_product(q, q.like(HALF_PI[1]))
    r = first - second
    return shifted.bits(form.integer), r, fma(q, -HALF_PI[2], ((first - r) - second) - lost)


def _curves(r: Value, rest: Value) -> Pair:
    """sin and cos of r + rest."""
    square = r * r
    sine = r + fma(r * square, horner(square, SINE), rest)
    return sine, fma(square, fma(square, horner(square, COSINE), -0.5), 1.0)


def _signed(y: Value, sign: Value) -> Value:
    return (y.bits(sign.element) ^ (sign & _SIGN)).bits(y.element)


def sine(x: Value) -> Value:
    """sin(x)."""
    q, r, rest = _quadrants(x)
    near, far = _curves(r, rest)
    return _signed(select((q & 1).differs(0), far, near), (q << 30) ^ x.bits(q.element))


def cosine(x: Value) -> Value:
    """cos(x)."""
    q, r, rest = _quadrants(x)
    near, far = _curves(r, rest)
    return _signed(select((q & 1).differs(0), near, far), (q + 1) << 30)


def sine_and_cosine(x: Value) -> Pair:
    """Both of one number."""
    q, r, rest = _quadrants(x)
    near, far = _curves(r, rest)
    odd = (q & 1).differs(0)
    return (
        _signed(select(odd, far, near), (q << 30) ^ x.bits(q.element)),
        _signed(select(odd, near, far), (q + 1) << 30),
    )


def tangent(x: Value) -> Value:
    """tan(x); in odd quadrants -1 / tan(r)."""
    q, r, rest = _quadrants(x)
    square = r * r
    # tan'(r) rest: 1 + r^2 + r^4 is the derivative to 2% of it.
    rest = fma(rest * square, square + 1.0, rest)
    y, lost = quick_sum(r, fma(r * square, polynomial(square, TANGENT), rest))
    inverse = -1.0 / y
    inverse = fma(inverse, fma(lost, inverse, fma(y, inverse, 1.0)), inverse)
    return _signed(select((q & 1).differs(0), inverse, y), x.bits(q.element))
