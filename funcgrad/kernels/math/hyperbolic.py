"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from funcgrad.kernels.assembly import F64, Value, copysign, fabs, fma, select
from funcgrad.kernels.definitions import kernel
from funcgrad.kernels.math.arithmetic import INF, NAN, chosen, format_of, polynomial, quick_sum, quotient
from funcgrad.kernels.math.exponential import (
    clamped_above,
    half_expm1,
    half_expm1_of_double,
    power_of_two,
    quotient_above_one,
    reduced,
)
from funcgrad.kernels.math.logarithm import LN2, limits, log_above_one, log_sum, split_above_one
from funcgrad.kernels.math.registers import has_single_tables, has_tables, near_inverse, near_quotient, near_root

# (sinh(r) - r) / r^3 and (cosh(r) - 1) / r^2 in powers of r^2, |r| <= log(2) / 2: to 2^-61.7 of sinh and 2^-58.0 of
# cosh, for float32 to 2^-34.3 and 2^-33.2.
SINH_F64 = (
    0.16666666666666677,
    0.008333333333321376,
    0.00019841269886867034,
    2.755724337677311e-06,
    2.5109354867086082e-08,
)
SINH_F32 = (0.1666666716337204, 0.00833317544311285, 0.00019974088354501873)
COSH_F64 = (
    0.5000000000000013,
    0.04166666666651047,
    0.0013888888948355234,
    2.4801488507156664e-05,
    2.76318096945267e-07,
)
COSH_F32 = (0.5, 0.041666459292173386, 0.0013935426250100136)


@kernel
def tanh(x: Value) -> Value:
    """The hyperbolic tangent: h / (h + 1) of h = (e^2|x| - 1) / 2, with the sign of x."""
    if x.element is F64:
        h = half_expm1_of_double(clamped_above(fabs(x), 22.0))
        return copysign(quotient_above_one(h, h), x)
    size = fabs(x)
    h = half_expm1(clamped_above(size + size, 20.0))
    return copysign(quotient(h, x.like(1.0), h), x)


# sinh(k log 2 + r) = sinh(k log 2) cosh(r) + cosh(k log 2) sinh(r), and so cosh


def quarter_powers(size: Value) -> tuple[Value, Value, Value, Value, Value, Value]:
    """Of |x|: half of cosh and of sinh of k log 2, r as a pair, sinh(r) - r and cosh(r) - 1."""
    form = format_of(size)
    shifted, r, rest = reduced(clamped_above(size, chosen(size, 710.5, 89.45)), form.bias - 2)
    up = power_of_two(shifted)
    down = (((2 * form.bias - 4) << form.mantissa) - up.bits(form.integer)).bits(size.element)
    down = select(size < chosen(size, 40.0, 20.0), down, 0.0)
    square = r * r
    sinh_rest = r * square * polynomial(square, chosen(r, SINH_F64, SINH_F32))
    cosh_rest = square * polynomial(square, chosen(r, COSH_F64, COSH_F32))
    return up + down, up - down, r, rest, sinh_rest, cosh_rest


@kernel
def sinh(x: Value) -> Value:
    """The hyperbolic sine."""
    size = fabs(x)
    cosh_k, sinh_k, r, rest, sinh_rest, cosh_rest = quarter_powers(size)
    half = fma(cosh_k, r, sinh_k) + fma(sinh_k, cosh_rest, cosh_k * (sinh_rest + rest))
    y = copysign(half + half, x)
    return select(size < chosen(x, 2.0**-28, 2.0**-13), x, y)


@kernel
def cosh(x: Value) -> Value:
    """The hyperbolic cosine."""
    cosh_k, sinh_k, r, _, sinh_rest, cosh_rest = quarter_powers(fabs(x))
    half = cosh_k + fma(sinh_k, r, fma(cosh_k, cosh_rest, sinh_k * sinh_rest))
    return half + half


# Inverses: logarithms of 1 + t, with t as a pair


def _log(size: Value, t: Value, rest: Value) -> Value:
    """log(1 + t + rest), or log(2 size) where that is all there is to it, above 2^60."""
    large = size > chosen(size, 2.0**60, 2.0**30)
    t, rest = select(large, size, t), select(large, 0.0, rest)
    ln2 = select(large, size.like(LN2), 0.0)
    if has_tables(size) or has_single_tables(size):
        return log_above_one(t, rest) + ln2
    k, whole, lost = split_above_one(t, rest)
    return log_sum(k, whole + lost) + ln2


@kernel
def asinh(x: Value) -> Value:
    """The inverse of sinh: log(1 + t), t = |x| + x^2 / (1 + sqrt(1 + x^2)), with the sign of x."""
    size = fabs(x)
    square = size * size
    t, rest = quick_sum(size, near_quotient(square, 1.0 + near_root(1.0 + square)))
    y = _log(size, t, rest)
    y = select(size < chosen(x, 2.0**-28, 2.0**-13), size, y)
    return copysign(select(size < INF, y, size), x)


@kernel
def acosh(x: Value) -> Value:
    """The inverse of cosh: log(1 + t), t = x - 1 + sqrt((x - 1) (x + 1)); NaN below 1."""
    above = x - 1.0
    square = fma(above, above, above + above)
    root = near_root(square)
    # The root is accurate to the last bit, but its error counts where it is all of t.
    lost = fma(above, above, (above + above) - square)
    correction = (fma(-root, root, square) + lost) * 0.5 * near_inverse(root)
    t, rest = quick_sum(root, above)
    y = _log(x, t, rest + correction)
    y = select(x < INF, y, x)
    return select(x < 1.0, NAN, select(x.equals(1.0), 0.0, y))


@kernel
def atanh(x: Value) -> Value:
    """The inverse of tanh: log(1 + t) / 2, t = 2|x| / (1 - |x|), with the sign of x; NaN beyond 1."""
    size = fabs(x)
    double = size + size
    if has_tables(x) or has_single_tables(x):
        below, lost = quick_sum(x.like(1.0), -size)
        t = near_quotient(double, below)
        y = log_above_one(t, fma(-t, lost, fma(-t, below, double)) * near_inverse(below)) * 0.5
        y = select(size > 1.0, NAN, y)
    else:
        t = quotient(double, x.like(1.0), -size)
        k, whole, lost = split_above_one(t, x.like(0.0))
        y = limits(1.0 + t, log_sum(k, whole + lost)) * 0.5
    y = select(size < chosen(x, 2.0**-28, 2.0**-13), size, y)
    return copysign(select(size.equals(1.0), INF, y), x)
