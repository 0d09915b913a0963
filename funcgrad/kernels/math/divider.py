"""Quotients and roots beside the divider: correctly rounded, by multiplication.

On a processor with AVX-512 a division of eight doubles keeps the divider busy for 16 cycles and a square root for 24,
in which 32 and 48 other instructions could run. These functions take about 18 and 17 instructions: an approximation to
2^-14 is refined to two, a little below and a little above the exact inverse, and the last step is taken with both.
Rounding is monotonic, so where both results are the same that is the exact one, rounded; a vector where they differ
(one of a million, of roots one of 200), or with a number that is huge or tiny, is left to the divider.

Reference: P. W. Markstein, Computation of elementary functions on the IBM RISC System/6000 processor, IBM Journal of
Research and Development 34 (1990); A. Ziv, Fast evaluation of elementary mathematical functions with correctly rounded
last bit, ACM Transactions on Mathematical Software 17 (1991).
"""

from __future__ import annotations

from collections.abc import Callable

from funcgrad.kernels.assembly import U64, Value, copysign, fma, select, sqrt
from funcgrad.kernels.definitions import any_lane
from funcgrad.kernels.math.registers import (
    at_least_by_register,
    has_registers,
    is_special,
    rough_inverse,
    rough_inverse_root,
)

# Bits of 2^-255, and of how many numbers follow to 2^257: products and residuals of such are normal.
_LEAST, _COUNT = (1023 - 255) << 52, 512 << 52
# How far the lower one is biased beyond its error of 2^-42 or 2^-40.7, and how far the upper one is above it: for roots
# so far that those of numbers below the least cannot be mistaken.
_DIVISION_BIAS, _DIVISION_STEP = 2.0**-40, 1.0 + 2.0**-39
_ROOT_BIAS, _ROOT_STEP = 2.0**-39, 1.0 + 2.0**-25
# The least number of which the residual of the root is normal.
_LEAST_ROOT = 2.0**-900
# The series of (1 - e)^(-1/2) ends with 5/16 e^3; with this for the square's 3/8 the rest, 35/128 e^4, is 6 times less
# where it is largest, at 2^-13: e^4 - c e^2 is least with c = 2 (sqrt(2) - 1) 2^-26.
_SQUARE = 3 / 8 + 35 / 128 * 2.0 * (2.0**0.5 - 1.0) * 2.0**-26


def has_way(x: Value) -> bool:
    """Whether there is another way than the divider here; in seldom code it is not worth its lines."""
    return has_registers(x) and not x.builder.cold


def divided(x1: Value, x2: Value) -> Value:
    """x1 / x2, correctly rounded."""
    if not has_way(x2):
        return x1 / x2
    rough = rough_inverse(x2)
    error = fma(-x2, rough, 1.0 - _DIVISION_BIAS)
    below = fma(rough, fma(error, error, error), rough)
    y = x1 * below
    rest = fma(-x2, y, x1)
    low, high = fma(rest, below, y), fma(rest, below * _DIVISION_STEP, y)
    outside = ((x1.bits(U64) - _LEAST) | (x2.bits(U64) - _LEAST)) & (3 * _COUNT)
    return _unless(outside.differs(0) | low.differs(high), low, lambda: x1 / x2)


def rooted(x: Value) -> Value:
    """The square root, correctly rounded.

    The inverse root is that of the least number for all below it: zeros stay what they are, and of others the error e
    either is so small that 5/2 e^3 is within the step, or so large that the results, e^3 times the step apart, differ.
    """
    if not has_way(x):
        return sqrt(x)
    rough = rough_inverse_root(at_least_by_register(x, _LEAST_ROOT))
    y, half = x * rough, rough * 0.5
    error = fma(-y, half, 0.5 - _ROOT_BIAS)
    more = fma(error * 1.5, error, error)
    y, below = fma(y, more, y), fma(half, more, half)
    rest = fma(-y, y, x)
    low, high = fma(rest, below, y), fma(rest, below * _ROOT_STEP, y)
    return _unless(low.differs(high), low, lambda: sqrt(x))


def over_root(x1: Value, x2: Value) -> Value:
    """x1 / sqrt(x2), to half a unit in the last place and little more; without another way, of the root as rounded."""
    if not has_way(x2):
        return x1 / sqrt(x2)
    rough = rough_inverse_root(x2)
    # The square is exact, of so few bits is what it is of; (1 - e)^(-1/2) = 1 + e / 2 + 3/8 e^2 + ...
    error = fma(-x2, rough * rough, 1.0)
    more = fma(fma(error, 5 / 16, _SQUARE), error, 0.5) * error
    y = copysign(fma(x1, rough, x1 * rough * more), x1)
    special = is_special(y)
    return _unless(special, y, lambda: select(special, x1 / sqrt(x2), y))


def _unless(condition: Value, y: Value, function: Callable[[], Value]) -> Value:
    """y, or all of another vector where a condition holds for any number."""
    b = y.builder
    before, within, after = b.block, b.label("divider"), b.label("common")
    b.branch(any_lane(condition), within, after)
    b.start(within)
    other = function()
    b.jump(after)
    b.start(after)
    return b.emit(f"phi {y.type} [ {y.text}, %{before} ], [ {other.text}, %{within} ]", y.element, y.width)
