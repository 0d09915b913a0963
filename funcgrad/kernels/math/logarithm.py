"""log and its kin: x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and a polynomial in f."""

from __future__ import annotations

from funcgrad.kernels.assembly import F32, F64, Value, copysign, fabs, fma, select
from funcgrad.kernels.definitions import kernel, outlined, rarely
from funcgrad.kernels.math.arithmetic import (
    INF,
    NAN,
    Pair,
    chosen,
    exact_product,
    exact_sum,
    format_of,
    horner,
    polynomial,
    quick_sum,
)
from funcgrad.kernels.math.cancellation import above_one, binary, natural
from funcgrad.kernels.math.exponential import clamped_below, exp_of_double, falling_exp, lowered
from funcgrad.kernels.math.registers import (
    entry,
    exponent_and_mantissa,
    has_single_tables,
    has_tables,
    part_of_mantissa,
    single_entry,
    single_exponent_and_mantissa,
)

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
# 2^-54.5 of log2(1 + f), and to 2^-25.2 of both for float32.
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
LOG10_2_SINGLE = float.fromhex("0x1.344136p-2")
# Below it, so that infinite numbers times what it lacks have the same sign.
LOG10_2_BELOW = float.fromhex("0x1.344134p-2")


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


# In float64, by a table (Tang): the mantissa m is from 1 to 2, c near 1 / m of the table, and m c = 1 + f. The number
# k - log2(c) is exact, and exactly zero on both sides of x = 1, as there c is a power of 2 and f exact.


# Near 1 / m for m within 1/31 of 1 + i/15.5, and -log2 of them. Each was chosen so that its logarithm is within 2^-60
# of a number of 42 bits after the point, near both ends within 2^-63.
INVERSES = (
    1.0,
    0.9393953627022711,
    0.8857150950743744,
    0.8378378392962986,
    0.7948718362977161,
    0.7560977773237028,
    0.7209303304416608,
    0.6888889249785279,
    0.6595748642994295,
    0.6326531707600225,
    0.6078431700680085,
    0.5849057068235197,
    0.5636363976991561,
    0.5438621212879298,
    0.5254243608769684,
    0.5,
)
LOG2S = (
    0.0,
    0.0901956230959513,
    0.17508538823312847,
    0.25525705273071253,
    0.33120583328718567,
    0.40335528142168187,
    0.47206824843487993,
    0.5376567103626257,
    0.6003916746467439,
    0.6605132839447379,
    0.7182289537038287,
    0.7737240296148684,
    0.8271633159499743,
    0.8786871458869427,
    0.9284450034724614,
    1.0,
)
# (log(1 + f) - f) / f^2 for |f| <= 1/30.99, and the same in base 2 and 10; the logarithm to 2^-55.6 of it.
LOG_SHORT = (
    -0.4999999999999959,
    0.33333333333332216,
    -0.25000000005288336,
    0.20000000009567506,
    -0.16666648260828856,
    0.14285689418530118,
    -0.12523548539202836,
    0.11136648375148557,
)
LOG2_SHORT = (
    -0.7213475204444758,
    0.4808983469629679,
    -0.36067376029829784,
    0.2885390083279545,
    -0.24044890975749392,
    0.2060989209134437,
    -0.18067498906405893,
    0.16067121885616203,
)
LOG10_SHORT = (
    -0.21714724095162413,
    0.1447648273010788,
    -0.10857362049873469,
    0.08685889642194708,
    -0.07238233423893298,
    0.062041962557548576,
    -0.05438859503266435,
    0.04836461783974376,
)
# The same in float32: -log2 within 2^-30.8 of a number of 16 bits after the point; log(1 + f) to 2^-30.6 of it,
# and what the numbers that multiply f in other bases lack.
INVERSES_F32 = (
    1.0,
    0.9363110661506653,
    0.8828942179679871,
    0.8394390940666199,
    0.7951905727386475,
    0.7575809955596924,
    0.7198062539100647,
    0.6884800791740417,
    0.6594790816307068,
    0.6336402297019958,
    0.6074501872062683,
    0.583983302116394,
    0.5635289549827576,
    0.5453230738639832,
    0.5255776047706604,
    0.5,
)
LOG2S_F32 = (
    0.0,
    0.094940185546875,
    0.1796875,
    0.25250244140625,
    0.33062744140625,
    0.4005279541015625,
    0.4743194580078125,
    0.53851318359375,
    0.6006011962890625,
    0.65826416015625,
    0.7191619873046875,
    0.7760009765625,
    0.8274383544921875,
    0.87481689453125,
    0.9280242919921875,
    1.0,
)
LOG_SHORT_F32 = (-0.4999999403953552, 0.33333319425582886, -0.25023403763771057, 0.20029225945472717)
LOG2_SHORT_F32 = (LOG2_E - LOG2_E_SINGLE, *[LOG2_E * c for c in LOG_SHORT_F32])
LOG10_SHORT_F32 = (LOG10_E - LOG10_E_SINGLE, *[LOG10_E * c for c in LOG_SHORT_F32])


def decomposed(x: Value) -> tuple[Value, Value]:
    """k - log2(c) and f with x = 2^k (1 + f) / c."""
    k, mantissa = exponent_and_mantissa(x)
    index, inverse = tabulated(mantissa)
    return whole_log2(k, index), fma(mantissa, inverse, -1.0)


def tabulated(mantissa: Value) -> tuple[Value, Value]:
    """Where a mantissa is in the tables, and c."""
    index = part_of_mantissa(mantissa)
    return index, entry("fg_inverses", INVERSES, index)


def whole_log2(k: Value, index: Value) -> Value:
    """k - log2(c)."""
    return k + entry("fg_log2s", LOG2S, index)


def table_sum(whole: Value, f: Value) -> Value:
    """log 2 times k - log2(c), and log(1 + f)."""
    if f.element is F32:
        return fma(whole, LN2_F32, fma(f * f, horner(f, LOG_SHORT_F32), f))
    return fma(whole, LN2, fma(f * f, polynomial(f, LOG_SHORT), f))


def decomposed_single(x: Value) -> tuple[Value, Value]:
    """The same in float32."""
    k, mantissa = single_exponent_and_mantissa(x)
    f = fma(mantissa, single_entry(INVERSES_F32, mantissa), -1.0)
    return k + single_entry(LOG2S_F32, mantissa), f


@kernel
def log(x: Value) -> Value:
    """The natural logarithm."""
    if x.element is F64:
        return table_sum(*decomposed(x))
    if has_single_tables(x):
        return table_sum(*decomposed_single(x))
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
    if x.element is F64:
        whole, f = decomposed(x)
        return whole + fma(f, LOG2_E, f * f * polynomial(f, LOG2_SHORT))
    if has_single_tables(x):
        whole, f = decomposed_single(x)
        return whole + fma(f, LOG2_E_SINGLE, f * horner(f, LOG2_SHORT_F32))
    k, mantissa = split_any(x)
    return limits(x, log2_sum(k, mantissa - 1.0))


@kernel
def log10(x: Value) -> Value:
    """The logarithm in base 10; exact for powers of 10."""
    if x.element is F64:
        whole, f = decomposed(x)
        return fma(whole, LOG10_2, fma(f, LOG10_E, f * f * polynomial(f, LOG10_SHORT)))
    if has_single_tables(x):
        whole, f = decomposed_single(x)
        rest = fma(f, horner(f, LOG10_SHORT_F32), whole * (LOG10_2 - LOG10_2_BELOW))
        return fma(whole, LOG10_2_BELOW, fma(f, LOG10_E_SINGLE, rest))
    k, mantissa = split_any(x)
    f = mantissa - 1.0
    rest = fma(f * f, polynomial(f, LOG10_F32), k * (LOG10_2 - LOG10_2_SINGLE))
    return limits(x, fma(k, LOG10_2_SINGLE, fma(f, LOG10_E_SINGLE, rest)))


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
    """log(1 + x + rest) by a table, for x above -1 and a rest far below it."""
    total = 1.0 + x
    if x.element is F64:
        k, mantissa = exponent_and_mantissa(total)
        index, inverse = tabulated(mantissa)
        whole = whole_log2(k, index)
    else:
        k, mantissa = single_exponent_and_mantissa(total)
        inverse, whole = single_entry(INVERSES_F32, mantissa), k + single_entry(LOG2S_F32, mantissa)
    f = fma(mantissa, inverse, -1.0)
    lost = x - (total - 1.0) if rest is None else (x - (total - 1.0)) + rest
    integer = format_of(x).integer
    shrunk = (inverse.bits(integer) - (total.bits(integer) - mantissa.bits(integer))).bits(x.element)
    # 1 counts beside x only below 2^60.
    return table_sum(whole, select(x > 2.0**60, f, fma(lost, shrunk, f)))


@kernel
def log1p(x: Value) -> Value:
    """log(1 + x)."""
    if x.element is F64 or has_single_tables(x):
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
