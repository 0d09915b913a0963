"""exp and its kin: x = k log 2 + r, a polynomial in r, and k put into the exponent (Cody and Waite).

In float64 k counts sixteenths, and a table that fits registers has their powers (Tang): r is short, and so is the
polynomial.

Reference: P. T. P. Tang, Table-driven implementation of the exponential function in IEEE floating-point arithmetic,
ACM Transactions on Mathematical Software 15 (1989).
"""

from __future__ import annotations

import struct

from funcgrad.kernels.assembly import F32, F64, I64, Value, fabs, fma, select
from funcgrad.kernels.definitions import kernel
from funcgrad.kernels.math.arithmetic import chosen, format_of, polynomial, quick_sum, quotient
from funcgrad.kernels.math.registers import (
    ENTRIES,
    entry,
    has_registers,
    limited_by_register,
    near_inverse,
    scaled_by_register,
)


def _less(x: float, bits: int) -> float:
    """The number with these bits less."""
    return float(struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", x))[0] - bits))[0])


LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
LN2_REST = 2.3190468138462996e-17
LN2_SINGLE = float.fromhex("0x1.62e430p-1")
# log 2 in two parts; the first has as many trailing zeros as k has bits.
LN2_F64 = (float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45"))
LN2_F32 = (float.fromhex("0x1.62e400p-1"), float.fromhex("0x1.7f7d1cf79abcap-20"))

# (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2; exp(r) to 2^-28.2.
EXP_F32 = (0.4999999403953552, 0.16666516661643982, 0.04166810214519501, 0.008369197137653828, 0.0013839026214554906)


# Powers of 2^(1/16) as pairs. (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 32: exp(r) to 2^-56.2, and exp(r) - 1 to
# 2^-59.71 of it.
SIXTEENTHS = (
    1.0,
    1.0442737824274138,
    1.0905077326652577,
    1.1387886347566916,
    1.189207115002721,
    1.241857812073484,
    1.2968395546510096,
    1.3542555469368927,
    1.4142135623730951,
    1.4768261459394993,
    1.5422108254079407,
    1.6104903319492543,
    1.681792830507429,
    1.7562521603732995,
    1.8340080864093424,
    1.9152065613971474,
)
SIXTEENTHS_REST = (
    0.0,
    8.551889705537965e-17,
    -3.046782079812471e-17,
    8.912812676025408e-17,
    3.982015231465646e-17,
    4.658027591836937e-17,
    2.5382502794888315e-17,
    7.70094837980299e-17,
    -9.667293313452913e-17,
    -3.483994556892796e-17,
    7.949834809697621e-17,
    2.4707192569797888e-17,
    8.199010020581497e-17,
    2.960140695448873e-17,
    3.283107224245627e-17,
    -1.0619946056195963e-16,
)
EXP_SHORT = (0.4999999999999968, 0.166666666644111, 0.04166666668564097, 0.00833347213212951, 0.0013888747146174067)
EXPM1_SHORT = (
    0.5000000000000003,
    0.16666666666666682,
    0.04166666666131224,
    0.00833333333109527,
    0.0013889104250402375,
    0.0001984195582036009,
)
# (exp(2 r) - 1 - 2 r) / (2 r^2); the rests beside the powers, and halved; and the powers less the index where the
# exponent ends, so that k in sixteenths, added there, gives 2^k.
_EXPM1_OF_DOUBLE = tuple(c * 2.0 ** (n + 1) for n, c in enumerate(EXPM1_SHORT))
RATIOS = tuple(rest / power for rest, power in zip(SIXTEENTHS_REST, SIXTEENTHS, strict=True))
# The rests also make up for the digits that log 2 lacks, and are a little less for small e^x - 1, where r is negative.
_HALF_RESTS = tuple(0.497 * ratio - index / 32 * LN2_REST for index, ratio in enumerate(RATIOS))
_LESS_INDEX = tuple(_less(power, index << (52 - 4)) for index, power in enumerate(SIXTEENTHS))


def clamped(x: Value, low: float, high: float) -> Value:
    """x within limits; NaN stays."""
    return clamped_above(clamped_below(x, low), high)


def clamped_below(x: Value, low: float) -> Value:
    """x or, where that is more, `low`; NaN stays."""
    return select(x.like(low) > x, low, x)


def clamped_above(x: Value, high: float) -> Value:
    """x or, where that is less, `high`; NaN stays."""
    return select(x.like(high) < x, high, x)


def lifted_power(shifted: Value, tiny: Value) -> Value:
    """2^k, of k + bias in the last bits of a number; where `tiny`, 2^(k + mantissa + 8), for `lowered` to undo."""
    form = format_of(shifted)
    bits = shifted.bits(form.integer)
    return (select(tiny, bits + (form.mantissa + 8), bits) << form.mantissa).bits(shifted.element)


def lowered(y: Value, tiny: Value) -> Value:
    """y, or where `tiny` what was lifted: subnormal numbers, slow in most processors, appear nowhere else."""
    return select(tiny, y * 2.0 ** -(format_of(y).mantissa + 8), y)


def scaled(y: Value, shifted: Value, tiny: Value) -> Value:
    """y * 2^k, with one rounding where that is normal, of k + bias in the last bits of a number.

    Args:
        y: Between 1/2 and 4.
        shifted: A number with k + bias in the last bits.
        tiny: Where the result may be subnormal.
    """
    return lowered(y * lifted_power(shifted, tiny), tiny)


# (2^f - 1 - f log 2) / f^2 for |f| <= 1/2, with log 2 rounded; 2^f to 2^-55.6, and to 2^-28.3 for float32.
EXP2_F64 = (
    0.24022650695910108,
    0.05550410866481688,
    0.009618129107601073,
    0.001333355814737255,
    0.00015403530452397536,
    1.5252733324495158e-05,
    1.3215435770881871e-06,
    1.0178101439398896e-07,
    7.073966210506616e-09,
    4.4717645933210914e-10,
)
EXP2_F32 = (
    0.24022647738456726,
    0.055503588169813156,
    0.00961849931627512,
    0.0013391297543421388,
    0.00015327120490837842,
)
# (exp(r) - 1 - r) / r^2 where exp(r) is wanted as a pair; exp(r) - 1 to 2^-58.0, and to 2^-31.0 for float32.
PAIR_F64 = (
    0.5000000000000001,
    0.1666666666666667,
    0.041666666666648366,
    0.00833333333332602,
    0.0013888888897366385,
    0.00019841269875418163,
    2.4801571277716862e-05,
    2.7557254273645674e-06,
    2.757055212608172e-07,
    2.510581941831006e-08,
    1.6920592340728394e-09,
)
PAIR_F32 = (
    0.5,
    0.1666666567325592,
    0.04166646674275398,
    0.008333643898367882,
    0.001393503276631236,
    0.00019662303384393454,
)


def reduced(x: Value, offset: int) -> tuple[Value, Value, Value]:
    """k + offset in the last bits of a number, and r = x - k log 2 as a pair."""
    rounder = format_of(x).rounder + offset
    shifted = fma(x, LOG2_E, rounder)
    k = shifted - rounder
    ln2, ln2_rest = chosen(x, LN2_F64, LN2_F32)
    whole = fma(k, -ln2, x)  # exact
    r = fma(k, -ln2_rest, whole)
    return shifted, r, fma(k, -ln2_rest, whole - r)


def power_of_two(shifted: Value) -> Value:
    """2^k, of k + bias in the last bits of a number."""
    form = format_of(shifted)
    return (shifted.bits(form.integer) << form.mantissa).bits(shifted.element)


def sixteenths(x: Value, offset: int) -> tuple[Value, Value, Value]:
    """k, a multiple of 1/16 near x / log 2, with 16 (k + offset) in the last bits of a number; k itself; and r.

    r is exact, x less k times the first part of log 2; the second is left to take off.
    """
    rounder = format_of(x).rounder / ENTRIES + offset
    shifted = fma(x, LOG2_E, rounder)
    k = shifted - rounder
    return shifted, k, fma(k, -LN2_F64[0], x)


def _whole_power(shifted: Value) -> Value:
    """2^floor(k), of 16 (k + bias) in the last bits of a number."""
    return ((shifted.bits(I64) << (52 - 4)) & -(1 << 52)).bits(F64)


def exp_of_double(x: Value, exact: bool = False) -> Value:
    """e^x in float64; to 0.6 ulp instead of 1.1 if `exact`."""
    by_register = has_registers(x)
    if not by_register:
        x = clamped(x, -746.0, 710.0)
    shifted, k, r = sixteenths(x, 1022)
    r = fma(k, -LN2_F64[1], r)
    if by_register:
        # Beyond the limits r may be anything, but 2^k says all.
        r = limited_by_register(r, 0.03125)
    index = shifted.bits(I64)
    power = entry("fg_sixteenths", SIXTEENTHS, index)
    tail = fma(r * r, polynomial(r, EXP_SHORT), r)
    if exact:
        y = power + fma(power, tail, entry("fg_sixteenths_rest", SIXTEENTHS_REST, index))
    else:
        y = fma(power, tail, power)
    if by_register:
        return scaled_by_register(y, k)
    tiny = x < -707.0
    lift = format_of(x).mantissa + 8
    scale = _whole_power(select(tiny, index + ENTRIES * lift, index).bits(F64))
    return lowered((y + y) * scale, tiny)


def _half_expm1_double(x: Value) -> Value:
    """(e^x - 1) / 2 in float64: the table's entries are pairs, and r is one."""
    shifted, k, whole = sixteenths(x, 1022)
    r = fma(k, -LN2_F64[1], whole)
    rest = fma(k, -LN2_F64[1], whole - r)
    index = shifted.bits(I64)
    power, power_rest = entry("fg_sixteenths", SIXTEENTHS, index), entry("fg_sixteenths_rest", SIXTEENTHS_REST, index)
    low = fma(power, r, fma(power, fma(r * r, polynomial(r, EXPM1_SHORT), rest), power_rest))
    half = _whole_power(shifted)
    return fma(half, low, fma(half, power, -0.5))


def half_expm1_of_double(x: Value) -> Value:
    """(e^2x - 1) / 2 in float64 for x from 0 to 22, to 1.7 ulp, in fewer instructions.

    r = x - k log(2) / 2 has one rounding, of which the exponential takes no notice where its relative error counts.
    """
    rounder = format_of(x).rounder / ENTRIES
    shifted = fma(x, 2.0 * LOG2_E, rounder)
    index = shifted.bits(I64)
    r = fma(shifted - rounder, -0.5 * LN2, x)
    tail = r + fma(r * r, polynomial(r, _EXPM1_OF_DOUBLE), entry("fg_sixteenths_half_rest", _HALF_RESTS, index))
    power = power_of_sixteenths(shifted)
    return fma(power, tail, fma(power, 0.5, -0.5))


def power_of_sixteenths(shifted: Value) -> Value:
    """2^k where that is normal, of 16 k in the last bits of a number."""
    index = shifted.bits(I64)
    return (entry("fg_sixteenths_bits", _LESS_INDEX, index).bits(I64) + (index << (52 - 4))).bits(F64)


def half_expm1(x: Value) -> Value:
    """(e^x - 1) / 2, to 1.1 ulp, for x where that is finite and between -700 and 710.

    exp(r) is the pair high + low, so that 2^k high - 1 is exact wherever the difference cancels.
    """
    if x.element is F64:
        return _half_expm1_double(x)
    shifted, r, rest = reduced(x, format_of(x).bias - 1)
    high, low = quick_sum(x.like(1.0), r)
    low = low + fma(r * r, polynomial(r, chosen(x, PAIR_F64, PAIR_F32)), rest)
    half = power_of_two(shifted)
    return fma(half, low, fma(half, high, -0.5))


@kernel
def exp(x: Value) -> Value:
    """e^x: 2^k e^r with r = x - k log 2."""
    if x.element is F64:
        return exp_of_double(x)
    x = clamped(x, -104.0, 89.0)
    shifted, r, _ = reduced(x, format_of(x).bias - 1)
    y = 2.0 + fma(r * r, polynomial(r, [2.0 * c for c in EXP_F32]), r + r)
    return scaled(y, shifted, x < -87.0)


@kernel
def exp2(x: Value) -> Value:
    """2^x: k and f are exact."""
    low, high, tiny = chosen(x, (-1080.0, 1024.0, -1021.0), (-155.0, 128.0, -125.0))
    x = clamped(x, low, high)
    return scaled_exp2(x, x.like(0.0), x < tiny)


def scaled_exp2(x: Value, rest: Value, tiny: Value | None) -> Value:
    """2^(x + rest) for x within exp2's limits, and rest far below 1; `tiny` is None where that is normal."""
    form = format_of(x)
    rounder = form.rounder + (form.bias - 1)
    shifted = x + rounder
    f = (x - (shifted - rounder)) + rest
    tail = polynomial(f, [2.0 * c for c in chosen(x, EXP2_F64, EXP2_F32)])
    y = fma(f, fma(f, tail, 2.0 * chosen(x, LN2, LN2_SINGLE)), 2.0)
    return y * power_of_two(shifted) if tiny is None else scaled(y, shifted, tiny)


@kernel
def expm1(x: Value) -> Value:
    """e^x - 1."""
    low, high, tiny = chosen(x, (-50.0, 710.0, 2.0**-54), (-30.0, 89.0, 2.0**-25))
    half = half_expm1(clamped(x, low, high))
    return select(fabs(x) < tiny, x, half + half)


def falling_exp(x: Value) -> tuple[Value, Value, Value]:
    """e^x of x <= 0 as a pair, to 2^-55.4 of it, and where it is not normal; there it is lifted."""
    limit, tiny = chosen(x, (-746.0, -708.0), (-104.0, -87.0))
    x = clamped_below(x, limit)
    shifted, r, rest = reduced(x, format_of(x).bias)
    small = x < tiny
    scale = lifted_power(shifted, small)
    high, low = quick_sum(x.like(1.0), r)
    low = low + fma(r * r, polynomial(r, chosen(x, PAIR_F64, PAIR_F32)), rest)
    high, low = quick_sum(high, low)
    return scale * high, scale * low, small


def quotient_above_one(x: Value, above: Value) -> Value:
    """x / (1 + above), for x = 1 or x = above, from 0 to the root of the greatest number.

    0.6 ulp where `above` is at most 1: x less a quotient of at least its half is exact then, and no sum is rounded.
    """
    inverse = near_inverse(1.0 + above)
    y = x * inverse
    return fma(fma(-y, above, x - y), inverse, y)


@kernel
def logistic(x: Value) -> Value:
    """1 / (1 + e^-x), the sigmoid: of e = e^-|x|, 1 / (1 + e) or e / (1 + e)."""
    if x.element is F32:
        high, low, small = falling_exp(-fabs(x))
        e = high + low
        falls = x < 0.0
        return lowered(quotient(select(falls, e, 1.0), x.like(1.0), e), small & falls)
    e = exp_of_double(-fabs(x), exact=True)
    return quotient_above_one(select(x < 0.0, e, 1.0), e)
