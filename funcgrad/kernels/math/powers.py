"""Powers, cube roots and the length of a pair."""

from __future__ import annotations

from funcgrad.kernels.assembly import F32, F64, I64, Value, copysign, fabs, fma, rint, select, sqrt
from funcgrad.kernels.definitions import kernel, outlined, rarely
from funcgrad.kernels.math.arithmetic import INF, NAN, Pair, chosen, exact_product, format_of, polynomial, quick_sum
from funcgrad.kernels.math.exponential import RATIOS, clamped, power_of_sixteenths, power_of_two, scaled_exp2
from funcgrad.kernels.math.logarithm import decomposed, split, split_any, tabulated, whole_log2
from funcgrad.kernels.math.registers import (
    ENTRIES,
    entry,
    exponent_and_mantissa,
    has_registers,
    has_tables,
    near_inverse,
    scaled_by_register,
)

# 2 / log(2) as a pair; what multiplies s^3, s^5, ... in log2((1 + s) / (1 - s)) for s up to 1/60.9, to 2^-70.9 of it;
# and what `logarithm.LOG2S` lack.
TWO_LOG2_E = (2.8853900817779268, 4.0710547481862066e-17)
LOG2_TAIL = (
    0.9617966939259756,
    0.5770780163581871,
    0.41219854904741693,
    0.32076265242462576,
)
LOG2S_REST = (
    0.0,
    -2.866283713134813e-20,
    -2.4456951517851848e-20,
    2.0990832002491793e-19,
    -3.622934308208322e-19,
    -4.482905634784296e-19,
    -4.608133211559808e-19,
    5.552823001803776e-19,
    5.17865095490141e-19,
    5.2572457463016953e-20,
    7.950209358954987e-19,
    -6.827994672795022e-19,
    3.4333469512225203e-19,
    -6.923703888600808e-20,
    1.7885430299816547e-20,
    0.0,
)
# (2^f - 1) / f for |f| <= 1/32 to 2^-55.9 of 2^f.
EXP2_OF_REST = (
    0.6931471805599457,
    0.24022650695910075,
    0.05550410865660652,
    0.009618129106916697,
    0.0013333782023871694,
    0.00015403724368119855,
)
# 1/3 as a pair.
THIRD = (0.3333333333333333, 1.850371707708594e-17)
# (atanh(s) / s - 1 - u / 3) / u^2 of u = s^2 for s up to (sqrt(2) - 1) / (sqrt(2) + 1); atanh(s) / s to 2^-66.3.
ATANH_TAIL = (
    0.20000000000001128,
    0.14285714285049825,
    0.11111111259951396,
    0.09090892184691075,
    0.07693378603723214,
    0.06628410512120157,
    0.06598147553251338,
)
# log2(1 + f) / f for sqrt(1/2) <= 1 + f <= sqrt(2) to 2^-35.3, and (2^f - 1) / f for |f| <= 1/2 to 2^-32.0 of 2^f:
# what a power in float32 needs of float64.
LOG2_SHORT = (
    1.4426950408687016,
    -0.7213475208686952,
    0.48089836139658876,
    -0.36067367480777424,
    0.28853729337497364,
    -0.2404531670171519,
    0.20617536268640327,
    -0.18030056756752177,
    0.15876974180096778,
    -0.14315679789482708,
    0.14474903716594964,
    -0.14283811039923947,
    0.07736810252892286,
)
EXP2_SHORT = (
    0.6931471838172363,
    0.2402265092078627,
    0.055504003736389966,
    0.00961805691900603,
    0.0013341952414187945,
    0.000154613677423396,
    1.3359512122884454e-05,
)
# The same where a table leaves |f| <= 1/30.99, to 2^-37.5, and |f| <= 1/32, to 2^-37.5.
LOG2_OF_REST = (
    1.442695040896246,
    -0.7213475204763822,
    0.48089822125420306,
    -0.36067354170085697,
    0.28886106664270567,
    -0.24081755036908928,
)
EXP2_OF_REST_SHORT = (0.693147180397163, 0.2402265065280602, 0.05550542632028708, 0.009619115578450948)

# (1 + f)^(-1/3) for sqrt(1/2) <= 1 + f <= sqrt(2), to 2^-20.1, and to 2^-12.0 for float32.
INVERSE_CBRT_F64 = (
    1.00000075421846,
    -0.3333431961834445,
    0.2220759338142179,
    -0.17207009697265224,
    0.1478656506743625,
    -0.14134320161587227,
    0.09328607278976278,
)
INVERSE_CBRT_F32 = (0.9997786283493042, -0.33466994762420654, 0.2377215325832367, -0.15854020416736603)
# For float64 by a table: the cube roots of `logarithm.INVERSES`, and of 1, 1/2 and, at -1, of 2; (1 + f)^(-1/3) for
# |f| <= 1/30.99 to 2^-31.7.
CBRTS = (
    1.0,
    0.9793760302272216,
    0.9603539981639457,
    0.9427285439180724,
    0.9263299442549203,
    0.9110159636187175,
    0.8966668190188877,
    0.8831810342140236,
    0.8704717854655556,
    0.8584636219606452,
    0.8470918702445572,
    0.8362997229408098,
    0.826037334961717,
    0.8162620472338507,
    0.8069316219335244,
    0.7937005259840998,
)
ROOTS_OF_REMAINDERS = (1.0, 0.7937005259840998, *([0.0] * 13), 1.2599210498948732)
INVERSE_CBRT_SHORT = (
    1.0000000000078444,
    -0.3333332909825147,
    0.22222212431102892,
    -0.17300213557325284,
    0.1442353576134583,
)


# pow: 2^(y log2 |x|), with log2 as a pair: by a table where AVX-512 looks it up, else by a longer series


def _log2_by_table(x: Value) -> Pair:
    """log2 of a positive finite number, to 2^-64 of it, in float64.

    x = 2^k m and m c = 1 + f with c of a table; with s = f / (2 + f), log2(1 + f) = 2 log2(e) s (1 + s^2 / 3 + ...).
    """
    k, mantissa = exponent_and_mantissa(x)
    index, inverse = tabulated(mantissa)
    product, lost = exact_product(mantissa, inverse)
    f = product - 1.0
    inverse = near_inverse(2.0 + f)
    s = f * inverse
    s = fma(fma(-s, f, fma(s, -2.0, f)), inverse, s)
    # What the product lost is divided by 2 (1 + f) = (2 + f) (1 + s).
    more = fma(-s, fma(-lost, s, lost), lost)
    s_rest = (fma(-s, f, fma(s, -2.0, f)) + more) * inverse
    y = s * TWO_LOG2_E[0]
    y_rest = fma(s_rest, TWO_LOG2_E[0], fma(s, TWO_LOG2_E[1], fma(s, TWO_LOG2_E[0], -y)))
    square = s * s
    y_rest = fma(s * square, polynomial(square, LOG2_TAIL), y_rest)
    total, rest = quick_sum(whole_log2(k, index), y)
    return quick_sum(total, rest + (entry("fg_log2s_rest", LOG2S_REST, index) + y_rest))


def _log2_by_series(k: Value, mantissa: Value) -> Pair:
    """k + log2 of a mantissa as `split` gives it, to 2^-65 of it, in float64.

    With 1 + f the mantissa and s = f / (2 + f), log2(1 + f) = 2 log2(e) s (1 + s^2 / 3 + s^4 / 5 + ...).
    """
    f = mantissa - 1.0
    below, lost = quick_sum(f.like(2.0), f)
    inverse = 1.0 / below
    s = f * inverse
    s_rest = fma(-s, lost, fma(-s, below, f)) * inverse
    u, u_rest = exact_product(s, s)
    u_rest = fma(s + s, s_rest, u_rest)
    # w = u / 3 + u^2 (1/5 + ...), the bracket's small part
    third, third_rest = exact_product(u, u.like(THIRD[0]))
    w, w_rest = quick_sum(third, u * u * polynomial(u, ATANH_TAIL))
    w_rest = w_rest + fma(u, THIRD[1], fma(u_rest, THIRD[0], third_rest))
    y, y_rest = exact_product(s, s.like(TWO_LOG2_E[0]))
    y_rest = fma(s, TWO_LOG2_E[1], fma(s_rest, TWO_LOG2_E[0], y_rest))
    more, more_rest = exact_product(y, w)
    more_rest = fma(y, w_rest, fma(y_rest, w, more_rest))
    whole, rest = quick_sum(k, y)
    total, total_rest = quick_sum(whole, more)
    return total, (total_rest + rest) + (y_rest + more_rest)


def exp2_of_pair(x: Value, rest: Value) -> Value:
    """2^(x + rest) of a rest far below 1, in float64, where that is normal."""
    rounder = format_of(x).rounder / ENTRIES
    shifted = x + rounder
    f = (x - (shifted - rounder)) + rest
    power = power_of_sixteenths(shifted)
    return fma(power, fma(f, polynomial(f, EXP2_OF_REST), entry("fg_ratios", RATIOS, shifted.bits(I64))), power)


def signed_power(x: Value, y: Value, size: Value) -> Value:
    """x^y of its magnitude |x|^y: the sign, and the cases that are NaN or 1 (C99, annex F)."""
    integer = format_of(x).integer
    half = y * 0.5
    whole = rint(y).equals(y)
    odd = whole & rint(half).differs(half)
    flipped = (size.bits(integer) ^ (x.bits(integer) & -(1 << (x.element.bits - 1)))).bits(x.element)
    size = select(odd, flipped, size)
    size = select((x < 0.0) & (x > -INF) & ~whole, NAN, size)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, size)


@kernel
def pow(x: Value, y: Value) -> Value:
    """x^y, with C99's values at special points; the common case is x positive and x^y normal."""
    if x.element is F32:
        return _pow_single(x, y)
    form = format_of(x)
    if has_tables(x):
        exponent, rest = product_with(y, *_log2_by_table(x))
        power = exp2_of_pair(exponent, rest)
        # The logarithm of what is not positive and finite is none.
        common = fabs(exponent) < 1000.0
    else:
        exponent, rest = product_with(y, *_log2_by_series(*split(x)))
        power = scaled_exp2(exponent, rest, None)
        least = x.like(form.least).bits(form.unsigned)
        # Positive, normal and finite: one comparison of unsigned bits.
        common = (x.bits(form.unsigned) - least < x.like(INF).bits(form.unsigned) - least) & (fabs(exponent) < 1000.0)
    return rarely(~common, power, pow_anywhere, x, y)


def product_with(y: Value, high: Value, low: Value) -> Pair:
    """y (high + low) as a pair."""
    product = y * high
    return product, fma(y, low, fma(y, high, -product))


@outlined
def pow_anywhere(x: Value, y: Value) -> Value:
    """x^y in float64, for all numbers."""
    size = fabs(x)
    high, low = _log2_by_table(size) if has_tables(size) else _log2_by_series(*split_any(size))
    high = select(size < INF, high, size)
    high = select(size.equals(0.0), -INF, high)
    # y up to 2^100 says all; an infinite one would make NaN of 1.
    exponent, rest = product_with(clamped(y, -(2.0**100), 2.0**100), high, low)
    rest = select(fabs(exponent) < 1100.0, rest, 0.0)
    exponent = clamped(exponent, -1080.0, 1024.9)
    return signed_power(x, y, scaled_exp2(exponent, rest, exponent < -1021.0))


def _pow_single(x: Value, y: Value) -> Value:
    """x^y in float32: by float64, where one number is as good as a pair."""
    wide = x.convert(F64)
    exponent = y.convert(F64) * log2_short(wide)
    common = (x > 0.0) & (x < INF) & (fabs(exponent) < 1000.0)
    return rarely(~common, exp2_short(exponent).convert(F32), pow_single_anywhere, x, y)


@outlined
def pow_single_anywhere(x: Value, y: Value) -> Value:
    """x^y in float32, for all numbers."""
    size = fabs(x).convert(F64)
    log2 = select(size < INF, log2_short(size), size)
    log2 = select(size.equals(0.0), -INF, log2)
    exponent = clamped(y.convert(F64), -(2.0**100), 2.0**100) * log2
    return signed_power(x, y, exp2_short(clamped(exponent, -200.0, 200.0)).convert(F32))


def log2_short(x: Value) -> Value:
    """log2 of a positive float64 to 2^-35 of it."""
    if has_tables(x):
        whole, f = decomposed(x)
        return fma(f, polynomial(f, LOG2_OF_REST), whole)
    k, mantissa = split(x)
    f = mantissa - 1.0
    return fma(f, polynomial(f, LOG2_SHORT), k)


def exp2_short(x: Value) -> Value:
    """2^x to 2^-32 of it, for a float64 where that is normal."""
    form, tables = format_of(x), has_tables(x)
    rounder = form.rounder / ENTRIES if tables else form.rounder + form.bias
    shifted = x + rounder
    f = x - (shifted - rounder)
    scale = power_of_sixteenths(shifted) if tables else power_of_two(shifted)
    return fma(scale * f, polynomial(f, EXP2_OF_REST_SHORT if tables else EXP2_SHORT), scale)


# Roots


def times_power_of_two(y: Value, k: Value) -> Value:
    """y 2^k of a whole number k for which the power is normal; in registers, of infinite ones too."""
    if has_registers(y):
        return scaled_by_register(y, k)
    form = format_of(y)
    return y * power_of_two(k + (form.rounder + form.bias))


@kernel
def cbrt(x: Value) -> Value:
    """The cube root: of x = 2^(3q) a, z is a^(-1/3) by a polynomial and a step of third order; a z^2 is corrected."""
    if has_tables(x):
        return _cbrt_by_table(x)
    size = fabs(x)
    k, mantissa = split_any(size)
    form = format_of(x)
    shifted = fma(k, x.like(1.0 / 3.0), form.rounder + form.bias)
    remainder = fma(shifted - (form.rounder + form.bias), -3.0, k)
    one_more, one_less = remainder > 0.0, remainder < 0.0
    a = mantissa * select(one_more, x.like(2.0), select(one_less, x.like(0.5), 1.0))
    z = polynomial(mantissa - 1.0, chosen(x, INVERSE_CBRT_F64, INVERSE_CBRT_F32))
    z = z * select(one_more, x.like(0.5 ** (1 / 3)), select(one_less, x.like(2.0 ** (1 / 3)), 1.0))
    missing = fma(-(a * z), z * z, 1.0)
    z = fma(z * missing, fma(missing, 2.0 / 9.0, 1.0 / 3.0), z)
    square = z * z
    y = a * square
    y_square, lost = exact_product(y, y)
    y = fma(fma(-y, lost, fma(-y, y_square, a)), square * (1.0 / 3.0), y)
    y = copysign(y * power_of_two(shifted), x)
    return select((size > 0.0) & (size < INF), y, x)


def _cbrt_by_table(x: Value) -> Value:
    """The cube root in float64: z is a^(-1/3) to 2^-31, by a table for the mantissa and one for what q leaves."""
    size = fabs(x)
    k, mantissa = exponent_and_mantissa(size)
    index, inverse = tabulated(mantissa)
    rounder = format_of(x).rounder
    q = fma(k, 1.0 / 3.0, rounder) - rounder
    remainder = fma(q, -3.0, k)
    z = entry("fg_cbrts", CBRTS, index) * entry(
        "fg_roots_of_remainders", ROOTS_OF_REMAINDERS, (remainder + rounder).bits(I64)
    )
    z = z * polynomial(fma(mantissa, inverse, -1.0), INVERSE_CBRT_SHORT)
    a = times_power_of_two(mantissa, remainder)
    square = z * z
    y = a * square
    y = fma(fma(-y, y * y, a), square * (1.0 / 3.0), y)
    y = copysign(times_power_of_two(y, q), x)
    # Registers have zeros and infinities as powers of 2 to infinite ones.
    return y if has_registers(x) else select((size > 0.0) & (size < INF), y, x)


@kernel
def hypot(x: Value, y: Value) -> Value:
    """sqrt(x^2 + y^2), scaled so that no square leaves the range; infinite where one is, whatever the other."""
    if x.element is F32:
        wide_x, wide_y = x.convert(F64), y.convert(F64)
        length = sqrt(fma(wide_x, wide_x, wide_y * wide_y)).convert(F32)
    else:
        x, y = fabs(x), fabs(y)
        greatest = select(x > y, x, y)
        large, small = greatest > 2.0**500, greatest < 2.0**-450
        scale = select(large, x.like(2.0**-600), select(small, x.like(2.0**600), 1.0))
        a, b = x * scale, y * scale
        length = sqrt(fma(a, a, b * b)) * select(large, x.like(2.0**600), select(small, x.like(2.0**-600), 1.0))
    return select(fabs(x).equals(INF) | fabs(y).equals(INF), INF, length)
