"""log(e^x + e^y) and log2(2^x + 2^y) where the sum of the powers is near 1, so that its logarithm cancels.

z = (e^x - 1) + e^y is computed in pairs, to 2^-104, by Taylor's series; the logarithm is that of 1 + z. It takes many
times as long as the usual way, and few numbers need it.
"""

from __future__ import annotations

import math

from funcgrad.kernels.assembly import Value, fma
from funcgrad.kernels.math.arithmetic import Pair, exact_product, exact_sum, format_of, horner, quick_sum
from funcgrad.kernels.math.exponential import LOG2_E, clamped_below, power_of_two

# log 2 in three parts of 42, 40 and 53 bits.
LN2_PARTS = tuple(map(float.fromhex, ("0x1.62e42fefa3800p-1", "0x1.ef35793c76000p-45", "0x1.cc01f97b57a08p-87")))
LN2_PAIR = (0.6931471805599453, 2.3190468138462996e-17)


def _inverse_factorial(n: int) -> tuple[float, float]:
    """1 / n! as a pair."""
    factorial = math.factorial(n)
    high = 1 / factorial
    numerator, denominator = high.as_integer_ratio()
    return high, (denominator - numerator * factorial) / (denominator * factorial)


# Terms that need pairs, and those that numbers do for: 0.35^24 / 25! is below 2^-106.
_PAIRED = [_inverse_factorial(n) for n in range(1, 14)]
_PLAIN = [_inverse_factorial(n)[0] for n in range(14, 25)]


def plus(a: Pair, b: Pair) -> Pair:
    """The sum of two pairs."""
    total, lost = exact_sum(a[0], b[0])
    return quick_sum(total, lost + (a[1] + b[1]))


def times(a: Pair, b: Pair) -> Pair:
    """The product of two pairs."""
    product, lost = exact_product(a[0], b[0])
    return quick_sum(product, lost + fma(a[0], b[1], a[1] * b[0]))


def scale_and_rest(x: Value, k: Value) -> Value:
    """2^k of a whole number k."""
    form = format_of(x)
    return power_of_two(k + (form.rounder + form.bias))


def expm1_series(r: Pair) -> Pair:
    """e^r - 1 of a pair up to log(2) / 2."""
    y: Pair = (horner(r[0], _PLAIN), r[0].like(0.0))
    for high, low in reversed(_PAIRED):
        y = plus((r[0].like(high), r[0].like(low)), times(r, y))
    return times(r, y)


def nearest(x: Value) -> Value:
    """The nearest whole number."""
    rounder = format_of(x).rounder
    return (x + rounder) - rounder


def natural(x: Value) -> tuple[Value, Pair]:
    """2^k and e^r - 1 of x = k log 2 + r."""
    x = clamped_below(x, -700.0)
    k = nearest(x * LOG2_E)
    high, middle, low = LN2_PARTS
    r, rest = exact_sum(fma(k, -high, x), k * -middle)
    return scale_and_rest(x, k), expm1_series(quick_sum(r, fma(k, -low, rest)))


def binary(x: Value) -> tuple[Value, Pair]:
    """2^k and 2^f - 1 of x = k + f."""
    x = clamped_below(x, -1000.0)
    k = nearest(x)
    f = x - k
    r, rest = exact_product(f, f.like(LN2_PAIR[0]))
    return scale_and_rest(x, k), expm1_series(quick_sum(r, fma(f, LN2_PAIR[1], rest)))


def above_one(top: tuple[Value, Pair], bottom: tuple[Value, Pair]) -> Pair:
    """2^j (1 + t) + 2^k (1 + u) - 1 of two powers."""
    (scale, t), (small_scale, u) = top, bottom
    first = plus((scale - 1.0, scale.like(0.0)), (scale * t[0], scale * t[1]))
    return plus(first, plus((small_scale, scale.like(0.0)), (small_scale * u[0], small_scale * u[1])))
