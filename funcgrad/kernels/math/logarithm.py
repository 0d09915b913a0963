"""log and its kin: x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and a polynomial in f."""

from __future__ import annotations

from funcgrad.kernels.assembly import F64, I64, U64, Value, copysign, fabs, fma, select
from funcgrad.kernels.definitions import kernel, outlined, rarely
from funcgrad.kernels.math.arithmetic import (
    INF,
    NAN,
    Pair,
    chosen,
    exact_product,
    exact_sum,
    format_of,
    polynomial,
    quick_sum,
)
from funcgrad.kernels.math.cancellation import above_one, binary, natural
from funcgrad.kernels.math.exponential import clamped_below, exp_of_double, falling_exp, lowered
from funcgrad.kernels.math.registers import entry, exponent_and_mantissa, has_tables

LN2 = 0.6931471805599453
LN2_REST = 2.3190468138462996e-17
LN2_F32 = float.fromhex("0x1.62e430p-1")
LN2_REST_F32 = LN2 - LN2_F32

# (log(1 + f) - f) / f^2 for sqrt(1/2) <= 1 + f <= sqrt(2); log(1 + f) to 2^-56.3, and to 2^-27.8 for float32.
LOG_F64 = (
    -0.5000000000000007,
    0.3333333333333338,
    -0.2499999999996102,
    0.19999999999953572,
    -0.16666666673349095,
    0.14285714296784965,
    -0.12499999481286046,
    0.11111110007966486,
    -0.10000021559966307,
    0.09090965687087874,
    -0.08332821647533646,
    0.07690662392071902,
    -0.07149702527876442,
    0.06694673582383256,
    -0.062060365554777806,
    0.056099610558711904,
    -0.055635703770555635,
    0.06599348122621486,
    -0.06387209161767533,
    0.028995360544765206,
)
LOG_F32 = (
    -0.49999988079071045,
    0.33333325386047363,
    -0.2500159740447998,
    0.20001986622810364,
    -0.16608862578868866,
    0.14181695878505707,
    -0.13244318962097168,
    0.129044771194458,
    -0.07618086785078049,
)


# (log2(1 + f) - f log2(e)) / f^2 and (log10(1 + f) - f log10(e)) / f^2 there, with log2(e) and log10(e) rounded: to
# 2^-54.5 of log2(1 + f) and of log10(1 + f), and to 2^-25.2 for float32.
LOG2_E = 1.4426950408889634
LOG2_E_REST = 2.0355273740931033e-17
LOG2_F64 = (
    -0.7213475204444836,
    0.4808983469630234,
    -0.3606737602212174,
    0.28853900816709377,
    -0.24044917364143842,
    0.2060992928405088,
    -0.18033686910712243,
    0.16029936921040103,
    -0.1442698925435302,
    0.1311569535270208,
    -0.12021737651566065,
    0.11091470766104819,
    -0.10310840506046422,
    0.0969863247288897,
    -0.09029153174743722,
    0.07885372992897152,
    -0.07421046658400457,
    0.09736493664106767,
    -0.11046939329757523,
    0.05618739131374376,
)
LOG2_E_SINGLE = 1.4426950216293335
LOG2_F32 = (
    -0.7213472723960876,
    0.48090463876724243,
    -0.36070728302001953,
    0.28823593258857727,
    -0.23910793662071228,
    0.210150346159935,
    -0.2005590796470642,
    0.15670400857925415,
    -0.05259113758802414,
)
LOG10_E = 0.4342944819032518
LOG10_F64 = (
    -0.21714724095162663,
    0.14476482730110277,
    -0.1085736204754303,
    0.08685889637516925,
    -0.07238241370853377,
    0.06204206947629775,
    -0.0542868064338775,
    0.04825490485172203,
    -0.04342957213486258,
    0.03948259873683871,
    -0.03618926316215154,
    0.03338101187370458,
    -0.03102824461934846,
    0.02927411807552907,
    -0.027348533901235962,
    0.023349226796029746,
    -0.021086607454367752,
    0.029626356991694757,
    -0.03689238084036262,
    0.01983894974125796,
)
LOG10_E_SINGLE = 0.4342944920063019
LOG10_F32 = (
    -0.2171471118927002,
    0.14476130902767181,
    -0.10858525335788727,
    0.08705826103687286,
    -0.07217715680599213,
    0.05820653215050697,
    -0.053805749863386154,
    0.07504869997501373,
    -0.06463120877742767,
)
LOG10_2 = 0.3010299956639812
LOG10_2_REST = -2.8037281277851704e-18
LOG10_2_SINGLE = float.fromhex("0x1.344136p-2")


def split(x: Value) -> tuple[Value, Value]:
    """k and the mantissa between sqrt(1/2) and sqrt(2) with x = 2^k mantissa; x must be normal."""
    form = format_of(x)
    unsigned = form.unsigned
    root = x.like(0.5**0.5).bits(unsigned)
    bits = x.bits(unsigned) + (x.like(1.0).bits(unsigned) - root)
    # The exponent in the last bits of 2^52 is a number that integers need no conversion for.
    carrier = 2.0**form.mantissa
    k = ((bits >> form.mantissa) | x.like(carrier).bits(unsigned)).bits(x.element) - (carrier + form.bias)
    fraction = (1 << form.mantissa) - 1
    return k, ((bits & fraction) + root).bits(x.element)


def split_any(x: Value) -> tuple[Value, Value]:
    """As `split`, k and mantissa of subnormal numbers too."""
    form = format_of(x)
    lift = form.mantissa + 2
    small = x < form.least
    k, mantissa = split(select(small, x * 2.0**lift, x))
    return select(small, k - float(lift), k), mantissa


def log_sum(k: Value, f: Value) -> Value:
    """k log 2 + log(1 + f)."""
    ln2, ln2_rest = chosen(f, (LN2, LN2_REST), (LN2_F32, LN2_REST_F32))
    rest = fma(f * f, polynomial(f, chosen(f, LOG_F64, LOG_F32)), k * ln2_rest)
    return fma(k, ln2, f + rest)


def limits(x: Value, y: Value) -> Value:
    """y, a logarithm of x, or what it is at zero, below zero, at infinity and NaN."""
    y = select(x < INF, y, x)
    return select(x <= 0.0, select(x.equals(0.0), -INF, x.like(NAN)), y)


# In float64, by a table (Tang): the mantissa m is between 3/4 and 3/2, c near 1 / m of the table, and m c = 1 + f.


# Near 1 / m for m between 1 + i/16 and 1 + (i + 1)/16, or between half of these for i from 8; and -log of them. Each
# was chosen so that its logarithm is within 2^ -63.043 of a double. Both sides of 1 have 1, so that f is m - 1 there.
INVERSES = (
    1.0,
    0.9141759872436523,
    0.8641643524169922,
    0.8204746246337891,
    0.7800722122192383,
    0.7443990707397461,
    0.7118139266967773,
    0.6806173324584961,
    1.30596923828125,
    1.254654884338379,
    1.207850456237793,
    1.1629266738891602,
    1.1226186752319336,
    1.084425926208496,
    1.0491275787353516,
    1.0,
)
LOGARITHMS = (
    0.0,
    0.089732179844193,
    0.14599230556327403,
    0.19787229564103148,
    0.2483687838154877,
    0.29517800254939053,
    0.33993874063414536,
    0.3847550508004304,
    -0.26694547642771654,
    -0.22686054220729965,
    -0.18884229734431274,
    -0.1509398224423658,
    -0.11566405908323747,
    -0.08105074670081557,
    -0.04795894140458608,
    0.0,
)
# (log(1 + f) - f) / f^2 for -1/32 <= f <= 1/16; log(1 + f) to 2^-54.9 of it.
LOG_SHORT = (
    -0.49999999999999445,
    0.3333333333333252,
    -0.25000000003129813,
    0.2000000001048374,
    -0.16666661770487035,
    0.14285689197859713,
    -0.12503074704615047,
    0.11133280996278486,
    -0.09209154969708984,
)


def tabulated(mantissa: Value) -> tuple[Value, Value]:
    """c and -log(c) for a mantissa."""
    index = (mantissa.bits(U64) >> 48).bits(I64)
    return entry("fg_inverses", INVERSES, index), entry("fg_logarithms", LOGARITHMS, index)


def table_sum(k: Value, f: Value, start: Value) -> Value:
    """k log 2 + start + log(1 + f)."""
    return fma(k, LN2, start + fma(f * f, polynomial(f, LOG_SHORT), f))


@kernel
def log(x: Value) -> Value:
    """The natural logarithm."""
    if x.element is F64:
        k, mantissa = exponent_and_mantissa(x)
        inverse, start = tabulated(mantissa)
        return table_sum(k, fma(mantissa, inverse, -1.0), start)
    k, mantissa = split_any(x)
    return limits(x, log_sum(k, mantissa - 1.0))


# In other bases, the logarithm of the base belongs to the polynomial's coefficients


def log2_sum(k: Value, f: Value) -> Value:
    """k + log2(1 + f)."""
    scale, coefficients = chosen(f, (LOG2_E, LOG2_F64), (LOG2_E_SINGLE, LOG2_F32))
    return k + fma(f, scale, f * f * polynomial(f, coefficients))


@kernel
def log2(x: Value) -> Value:
    """The logarithm in base 2; exact for powers of 2."""
    k, mantissa = split_any(x)
    return limits(x, log2_sum(k, mantissa - 1.0))


@kernel
def log10(x: Value) -> Value:
    """The logarithm in base 10; exact for powers of 10."""
    k, mantissa = split_any(x)
    f = mantissa - 1.0
    scale, coefficients = chosen(x, (LOG10_E, LOG10_F64), (LOG10_E_SINGLE, LOG10_F32))
    ratio, ratio_rest = chosen(x, (LOG10_2, LOG10_2_REST), (LOG10_2_SINGLE, LOG10_2 - LOG10_2_SINGLE))
    rest = fma(f * f, polynomial(f, coefficients), k * ratio_rest)
    return limits(x, fma(k, ratio, fma(f, scale, rest)))


# log(1 + x): 1 + x = 2^k m is rounded; what it lost is added to m - 1, which is x itself where k is 0


def split_above_one(x: Value, rest: Value) -> tuple[Value, Value, Value]:
    """k and f as the sum of two with 1 + x + rest = 2^k (1 + f), for x above -1 and a rest far below it."""
    total = 1.0 + x
    k, mantissa = split(total)
    integer = format_of(x).integer
    shrink = (mantissa.bits(integer) - total.bits(integer) + x.like(1.0).bits(integer)).bits(x.element)
    # 1 counts beside x only below 2^60.
    lost = select(x > 2.0**60, 0.0, ((x - (total - 1.0)) + rest) * shrink)
    return k, mantissa - 1.0, lost


def log_above_one(x: Value, rest: Value | None = None) -> Value:
    """log(1 + x + rest) in float64, for x above -1 and a rest far below it."""
    total = 1.0 + x
    k, mantissa = exponent_and_mantissa(total)
    inverse, start = tabulated(mantissa)
    shrink = (mantissa.bits(I64) - total.bits(I64) + x.like(1.0).bits(I64)).bits(F64)
    lost = x - (total - 1.0) if rest is None else (x - (total - 1.0)) + rest
    # 1 counts beside x only below 2^60.
    lost = select(x > 2.0**60, 0.0, lost * shrink)
    return table_sum(k, fma(lost, inverse, fma(mantissa, inverse, -1.0)), start)


@kernel
def log1p(x: Value) -> Value:
    """log(1 + x)."""
    if x.element is F64:
        return copysign(log_above_one(x), x)
    k, whole, lost = split_above_one(x, x.like(0.0))
    y = limits(1.0 + x, log_sum(k, whole + lost))
    return select(fabs(x) < format_of(x).least, x, y)


# Sums of exponentials


def log_of_sum(e: Value, rest: Value) -> Pair:
    """log(1 + e + rest) as a pair, to 2^-55 of 1, for e between 0 and 1."""
    k, whole, lost = split_above_one(e, e.like(0.0))
    f, f_rest = quick_sum(whole, lost)
    f_rest = fma(rest, fma(k, -0.5, 1.0), f_rest)
    ln2, ln2_rest = chosen(f, (LN2, LN2_REST), (LN2_F32, LN2_REST_F32))
    tail = fma(f * f, polynomial(f, chosen(f, LOG_F64, LOG_F32)), fma(-f, f_rest, f_rest))
    high, low = quick_sum(k * ln2, f)
    return quick_sum(high, low + fma(k, ln2_rest, tail))


@kernel
def softplus(x: Value) -> Value:
    """log(1 + e^x): max(x, 0) + log(1 + e^-|x|)."""
    if has_tables(x):
        y = log_above_one(exp_of_double(-fabs(x), exact=True))
    else:
        high, low, small = falling_exp(-fabs(x))
        y, _ = log_of_sum(high, low)
        y = lowered(y, small)
    return select(x > 0.0, x + y, y)


def ordered(x: Value, y: Value) -> Pair:
    """The greater and the less of two numbers."""
    above = x > y
    return select(above, x, y), select(above, y, x)


def distance(x: Value, y: Value) -> tuple[Value, Value, Value]:
    """The greater of two numbers, and the other minus it as a pair; NaN where one is, 0 where they are the same."""
    top, bottom = ordered(x, y)
    down, rest = exact_sum(bottom, -top)
    return top, select(x.equals(y), 0.0, down), select(down > -1e4, rest, 0.0)


@kernel
def logaddexp(x: Value, y: Value) -> Value:
    """log(e^x + e^y): the greater of both, plus log(1 + e^-|x - y|).

    Where these cancel the sum is taken in pairs: to 2 ulp unless it is so near 1 that all of their 104 bits cancel.
    """
    top, down, rest = distance(x, y)
    high, low, small = falling_exp(down)
    more, more_rest = log_of_sum(high, fma(high, rest, low))
    more = lowered(more, small)
    total, total_rest = exact_sum(top, more)
    total = select(fabs(top) < INF, total + (total_rest + lowered(more_rest, small)), top + more)
    return rarely(fabs(total) < more * 0.25, total, logaddexp_cancelled, x, y)


@outlined
def logaddexp_cancelled(x: Value, y: Value) -> Value:
    """log(e^x + e^y) for a sum near 1."""
    top, bottom = ordered(x.convert(F64), y.convert(F64))
    z, rest = above_one(natural(top), natural(bottom))
    return fma(rest, 1.0 - z, log_sum(z.like(0.0), z)).convert(x.element)


@kernel
def logaddexp2(x: Value, y: Value) -> Value:
    """log2(2^x + 2^y), likewise."""
    ln2, ln2_rest = chosen(x, (LN2, LN2_REST), (LN2_F32, LN2_REST_F32))
    scale, scale_rest = chosen(x, (LOG2_E, LOG2_E_REST), (LOG2_E_SINGLE, LOG2_E - LOG2_E_SINGLE))
    top, down, rest = distance(x, y)
    down = clamped_below(down, -2000.0)
    power, power_rest = exact_product(down, x.like(ln2))
    high, low, small = falling_exp(power)
    rest = fma(down, ln2_rest, fma(rest, ln2, power_rest))
    more, more_rest = log_of_sum(high, fma(high, rest, low))
    more, product_rest = exact_product(lowered(more, small), x.like(scale))
    more_rest = fma(more, scale_rest / scale, fma(lowered(more_rest, small), scale, product_rest))
    total, total_rest = exact_sum(top, more)
    total = select(fabs(top) < INF, total + (total_rest + more_rest), top + more)
    return rarely(fabs(total) < more * 0.25, total, logaddexp2_cancelled, x, y)


@outlined
def logaddexp2_cancelled(x: Value, y: Value) -> Value:
    """log2(2^x + 2^y) for a sum near 1."""
    top, bottom = ordered(x.convert(F64), y.convert(F64))
    z, rest = above_one(binary(top), binary(bottom))
    return fma(rest, (1.0 - z) * LOG2_E, log2_sum(z.like(0.0), z)).convert(x.element)
