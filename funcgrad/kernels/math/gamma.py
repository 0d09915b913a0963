"""lgamma and digamma: a polynomial beside their zero, recurrences to reach it, asymptotic series from 8 on.

Below zero, by reflection, in functions that only vectors with such a number call. float32 goes through float64, with
fewer terms.
"""

from __future__ import annotations

import math

from funcgrad.kernels.assembly import F32, F64, I64, Value, fabs, floor, fma, rint, select
from funcgrad.kernels.definitions import kernel, looked_up, outlined, rarely, repeated
from funcgrad.kernels.math.arithmetic import INF, NAN, Pair, exact_product, exact_sum, polynomial, quick_sum
from funcgrad.kernels.math.exponential import LN2_F64
from funcgrad.kernels.math.logarithm import LOG_F32, LOG_F64, log, log1p, split_any
from funcgrad.kernels.math.trigonometric import sine_and_cosine

# Where the asymptotic series begin; and below -LAST, gamma is far from 1.
FAR = 8.0
LAST = 20.5
# log(2 pi) / 2 - 1/2 and log(pi).
STIRLING_CONSTANT = 0.4189385332046727
LOG_PI = 1.1447298858494002
PI_REST = 1.2246467991473532e-16

# lgamma(2 + d) / d, |d| <= 1/2: to 2^-56.0, for float32 to 2^-28.7.
LGAMMA = (
    0.42278433509846713,
    0.3224670334241133,
    -0.0673523010531949,
    0.020580808427765815,
    -0.007385551029013298,
    0.002890510331827236,
    -0.0011927538979091131,
    0.0005096694960788793,
    -0.00022315503818097154,
    9.94579229324211e-05,
    -4.492306400852942e-05,
    2.0503769169467136e-05,
    -9.460510424246022e-06,
    4.392272065721859e-06,
    -1.958785680223348e-06,
    9.033904826444227e-07,
    -6.116566994561699e-07,
    2.9383067158604926e-07,
    2.4793359740028788e-08,
)
LGAMMA_F32 = (
    0.4227843345105067,
    0.32246701878149686,
    -0.06735221882689083,
    0.020581601899507848,
    -0.0073874266516480835,
    0.002879056806149914,
    -0.001177845563598034,
    0.0005698216023475544,
    -0.0002698440194624794,
)
# x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) in powers of 1/x^2, x >= 8: lgamma to 2^-63.2, for float32 2^-42.
STIRLING = (
    0.08333333333333245,
    -0.002777777776803384,
    0.0007936504183433419,
    -0.0005951698084269402,
    0.0008353174128360677,
    -0.0016089577794987154,
)
STIRLING_F32 = (
    0.08333333284165897,
    -0.002777604579715596,
    0.0007755361705584718,
)
# gamma(2 + g), |g| <= 1/2, to 2^-110.7; of the first coefficients the rest too.
GAMMA_PAIRS = (
    (1.0, 0.0),
    (0.42278433509846713, 4.942915152430644e-18),
    (0.4118403304264397, 1.2103393958429422e-18),
    (0.08157691924708627, 5.271149295802967e-19),
    (0.0742490107535139, 3.9747298195933474e-18),
    (-0.00026698206874501475, -1.5403592984575345e-20),
    (0.011154045718130992, -7.080895257700835e-19),
    (-0.0028526458211553408, -3.61046924474463e-20),
    (0.002103933340697388, 6.69044922734673e-20),
    (-0.0009195738388259458, -1.979965832495361e-20),
    (0.0004903884508225733, -3.22781617158697e-20),
    (-0.00024094143582384595, -1.0544850542585903e-20),
    (0.0001216738065319887, 4.632707708670687e-21),
    (-6.079289131104112e-05, 1.7698096182380283e-21),
    (3.045355703778767e-05, -1.04933068340091e-21),
    (-1.5234935894944093e-05, -8.215228147700352e-22),
    (7.621779696166979e-06, 3.531101420128925e-22),
    (-3.812110400099041e-06, -1.578150983894852e-22),
    (1.9064916575823443e-06, -1.5570246929633497e-23),
    (-9.53387780224551e-07, 2.9986124304465465e-23),
    (4.767416945508364e-07, 2.261286359519581e-23),
    (-2.383867390925271e-07, 1.2686959026023364e-23),
    (1.1919867510819497e-07, -5.7055836461091274e-24),
    (-5.9601101988109045e-08, 1.3336944279033767e-24),
    (2.980114002702724e-08, 9.447075019384828e-25),
    (-1.4900792976871124e-08, 9.893040643350966e-26),
    (7.450465544092276e-09, -4.7924157486721393e-26),
    (-3.725119991714813e-09, -6.743966257464061e-26),
)
GAMMA_TAIL = (
    1.8625529980411235e-09,
    -9.318041814342092e-10,
    4.659462370280925e-10,
    -2.3143716045508905e-10,
    1.1562360850725332e-10,
    -6.107049939264021e-11,
    3.067759800837844e-11,
    -1.0606891921977076e-11,
    5.173309163625088e-12,
    -6.792797535849147e-12,
    3.4511938193700825e-12,
)
# The zero of digamma above 0, and it less 1, as pairs.
ZERO = (1.4616321449683622, 9.549995429965697e-17)
ZERO_LESS_ONE = (0.46163214496836236, -1.5522348162858677e-17)
# digamma(x) / (x - zero) in powers of x - 7/4, 1 <= x <= 5/2: to 2^-56.6, for float32 to 2^-27.
DIGAMMA = (
    0.8581832171262995,
    -0.32625462786810583,
    0.15712011335203827,
    -0.08228558635575181,
    0.04479965445319647,
    -0.024890048490568913,
    0.013985786168405595,
    -0.007910468733756029,
    0.004491814005250774,
    -0.0025566871579529534,
    0.0014573712942761601,
    -0.0008314910401542549,
    0.0004747055580943341,
    -0.0002711291303531188,
    0.00015470971108956323,
    -8.822538399422053e-05,
    5.09740820756214e-05,
    -2.9608606695755824e-05,
    1.554302884796469e-05,
    -7.853812351047354e-06,
    6.736305534338826e-06,
    -5.339079609069602e-06,
    6.796316728403381e-07,
    1.0165642971786953e-06,
    8.751760628713755e-07,
    -1.2766616320206953e-06,
    3.3400056387847177e-07,
)
DIGAMMA_F32 = (
    0.8581832169107749,
    -0.3262545773479751,
    0.15712011234562756,
    -0.08228810152340502,
    0.04480050949921375,
    -0.024854680244141548,
    0.013970018051077702,
    -0.008120387785518489,
    0.00459645829157236,
    -0.0019669046500681584,
    0.0011446743922723095,
    -0.001577724442123965,
    0.0008865702066623105,
)
# x^2 (log(x) - 1 / (2 x) - digamma(x)) in powers of 1/x^2, x >= 8: digamma to 2^-60.3, for float32 2^-37.
DIGAMMA_SERIES = (
    0.08333333333332363,
    -0.008333333322128742,
    0.003968249524853166,
    -0.004165839426309143,
    0.007496259171708144,
    -0.01720196789760894,
)
DIGAMMA_SERIES_F32 = (
    0.08333333016981816,
    -0.008332178467892568,
    0.003844421632192384,
)


def _log_pair(x: Value, single: bool) -> Pair:
    """log(x) of a positive finite number, to 2^-56 absolutely and 2^-54 of the second number relatively."""
    k, mantissa = split_any(x)
    f = mantissa - 1.0
    rest = fma(f * f, polynomial(f, LOG_F32 if single else LOG_F64), k * LN2_F64[1])
    whole, lost = quick_sum(k * LN2_F64[0], f)
    return whole, lost + rest


# lgamma


def _stirling(x: Value, logarithm: Pair, inverse: Value, single: bool) -> tuple[Value, Value, Value]:
    """a, b and c of lgamma(x) = a b + c for x >= 8; c is small, a and b have no error of their own."""
    b, lost = quick_sum(logarithm[0], -1.0)
    a = x - 0.5
    tail = inverse * polynomial(inverse * inverse, STIRLING_F32 if single else STIRLING)
    return a, b, fma(a, logarithm[1] + lost, STIRLING_CONSTANT + tail)


@kernel
def lgamma(x: Value) -> Value:
    """log|gamma(x)|: from -1/2 to 8, lgamma(2 + d) by a polynomial, and the logarithm of a product that leads to x."""
    single = x.element is F32
    wide = x.convert(F64)
    far = wide >= FAR
    # x = 2 + d + steps, and the product of as many numbers below x, or of one or two from x on.
    low, lowest = wide < 1.5, wide < 0.5
    steps = select(low, select(lowest, wide.like(-2.0), -1.0), floor(wide - 1.5))
    d = wide - (2.0 + steps)
    product = select(low, select(lowest, fabs(fma(wide, wide, wide)), wide), 1.0)
    for i in range(1, int(FAR) - 1):
        product = select(steps >= float(i), product * (wide - float(i)), product)
    inverse = 1.0 / wide
    logarithm = _log_pair(select(far, wide, product), single)
    a, b, c = _stirling(wide, logarithm, inverse, single)
    high, rest = select(low, -logarithm[0], logarithm[0]), select(low, -logarithm[1], logarithm[1])
    coefficients = LGAMMA_F32 if single else LGAMMA
    near = fma(d, coefficients[0], high) + fma(d * d, polynomial(d, coefficients[1:]), rest)
    y = select(far, fma(a, b, c), near)
    y = select(wide < INF, select(wide.equals(0.0), INF, y), wide)
    return rarely(wide <= -0.5, y, lgamma_of_negative, wide).convert(x.element)


@outlined
def lgamma_of_negative(x: Value) -> Value:
    """log|gamma(x)| for x <= -1/2, of numbers next to one of its zeros too.

    Down to -20.5, x = g - n with |g| <= 1/2: gamma(2 + g) as a pair, divided by the product of x, x + 1, ... 1 + g as
    another. Below, where gamma is far from 1, log(pi / |sin(pi x)|) - lgamma(1 - x).
    """
    size = -x
    n = rint(size)
    g = n - size
    steps = select(size <= LAST, n, -1.0)
    ratio, excess = _gamma_ratio(x, steps, g)
    y = select((excess > -0.6) & (excess < 4.0), log1p(excess), log(ratio))
    above = 1.0 + size
    a, b, c = _stirling(above, _log_pair(select(above < INF, above, 1.0), single=False), 1.0 / above, single=False)
    reflected = fma(-a, b, (LOG_PI - log(_turn(g)[0][0])) - c)
    y = select(size > LAST, reflected, y)
    return select(g.equals(0.0) | size.equals(INF), INF, y)


def _gamma_ratio(x: Value, steps: Value, g: Value) -> Pair:
    """|gamma(x)| and |gamma(x)| - 1, for x = g - steps, where the latter is small to all its digits."""
    (high, low), _ = _gamma_beside_two(g)

    def step(i: Value, *below: Value) -> tuple[Value, ...]:
        high, low = below
        return i + 1.0, *_times((high, low), x + i)

    _, *below = repeated((g * 0.0, *exact_sum(g, 1.0)), lambda i, *_: i <= steps, step)
    below_rest = select(below[0] < 0.0, -below[1], below[1])
    size = fabs(below[0])
    return high / size, ((high - size) + (low - below_rest)) / size


def _gamma_beside_two(g: Value) -> tuple[Pair, Pair]:
    """gamma(2 + g) and its derivative by g, as pairs, by Horner's rule."""
    slopes = [k * c for k, c in enumerate(GAMMA_TAIL, 1)]
    last, last_rest = GAMMA_PAIRS[-1]
    y = exact_sum(g.like(last), fma(g, polynomial(g, GAMMA_TAIL), last_rest))
    coefficients = [c for pair in GAMMA_PAIRS for c in pair]

    def step(i: Value, y: Value, y_rest: Value, slope: Value, slope_rest: Value) -> tuple[Value, ...]:
        more = _plus(_times((slope, slope_rest), g), (y, y_rest))
        high, low = _times((y, y_rest), g)
        total, lost = exact_sum(high, looked_up("fg_gamma_pairs", coefficients, F64, i))
        rest = lost + (low + looked_up("fg_gamma_pairs", coefficients, F64, i + 1))
        return i - 2, *quick_sum(total, rest), *more

    start = (g.builder.constant(len(coefficients) - 4, I64), *y, polynomial(g, slopes), g * 0.0)
    _, high, low, slope, slope_rest = repeated(start, lambda i, *_: i >= 0, step)
    return (high, low), (slope, slope_rest)


def _times(x: Pair, factor: Value) -> Pair:
    product, lost = exact_product(x[0], factor)
    return quick_sum(product, fma(x[1], factor, lost))


def _plus(x: Pair, y: Pair) -> Pair:
    total, lost = exact_sum(x[0], y[0])
    return quick_sum(total, lost + (x[1] + y[1]))


def _turn(g: Value) -> tuple[Pair, Pair]:
    """sin and cos of pi |g|, |g| <= 1/2, as pairs."""
    steep = fabs(g) > 0.25
    part = select(steep, 0.5 - fabs(g), fabs(g))
    r, lost = exact_product(part, part.like(math.pi))
    sine, cosine = sine_and_cosine(r, fma(part, PI_REST, lost))
    (a, a_rest), (b, b_rest) = quick_sum(*sine), quick_sum(*cosine)
    first = select(steep, b, a), select(steep, b_rest, a_rest)
    return first, (select(steep, a, b), select(steep, a_rest, b_rest))


# digamma


@kernel
def digamma(x: Value) -> Value:
    """The derivative of lgamma: beside its zero by a polynomial, up to 8 by that and a sum of 1 / (x - i)."""
    single = x.element is F32
    wide = x.convert(F64)
    far, low = wide >= FAR, wide < 1.0
    steps = floor(wide - 1.5)
    # The sum of 1 / (x - i) as a quotient; -1 / x below 1; and 1 / x for the series.
    upper, lower = select(far, wide.like(1.0), select(low, wide.like(-1.0), 0.0)), select(far | low, wide, 1.0)
    shift = wide.like(0.0)
    for i in range(1, int(FAR) - 1):
        used = (steps >= float(i)) & ~far
        factor = wide - float(i)
        upper = select(used, fma(upper, factor, lower), upper)
        lower = select(used, lower * factor, lower)
        shift = select(used, float(i), shift)
    quotient = upper / lower
    base = wide - shift
    from_zero = (base - select(low, base.like(ZERO_LESS_ONE[0]), ZERO[0])) - select(
        low, base.like(ZERO_LESS_ONE[1]), ZERO[1]
    )
    middle = base - select(low, base.like(0.75), 1.75)
    near = fma(from_zero, polynomial(middle, DIGAMMA_F32 if single else DIGAMMA), quotient)
    high, low_part = _log_pair(select(far & (wide < INF), wide, 1.0), single)
    y = select(far, high + (low_part - _series(quotient, single)), near)
    y = select(wide < INF, y, wide)
    return rarely(wide < 0.0, y, digamma_of_negative, wide).convert(x.element)


def _series(inverse: Value, single: bool) -> Value:
    """log(x) - digamma(x), of 1/x, for x >= 8."""
    square = inverse * inverse
    return fma(square, polynomial(square, DIGAMMA_SERIES_F32 if single else DIGAMMA_SERIES), 0.5 * inverse)


@outlined
def digamma_of_negative(x: Value) -> Value:
    """The same for x < 0; NaN at the poles.

    Down to -20.5, x = g - n with |g| <= 1/2: digamma(2 + g) less the sum of 1 / x, 1 / (x + 1), ... 1 / (1 + g), over a
    common denominator, in pairs: numbers next to a zero have all digits. Below, digamma(1 - x) - pi / tan(pi x), exact
    to 2^-54 of its terms.
    """
    size = -x
    n = rint(size)
    g = n - size
    steps = select(size <= LAST, n, -1.0)
    y = select(size > LAST, _digamma_reflected(size, g), _digamma_by_steps(x, steps, g))
    y = select(g.equals(0.0) | size.equals(INF), NAN, y)
    return select(size < 2.0**-60, 1.0 / size, y)


def _digamma_by_steps(x: Value, steps: Value, g: Value) -> Value:
    gamma, slope = _gamma_beside_two(g)

    def step(i: Value, upper: Value, upper_rest: Value, lower: Value, lower_rest: Value) -> tuple[Value, ...]:
        more = _plus(_times((upper, upper_rest), x + i), (lower, lower_rest))
        return i + 1.0, *more, *_times((lower, lower_rest), x + i)

    zero = g * 0.0
    start = (zero, zero + 1.0, zero, *exact_sum(g, 1.0))
    _, *fraction = repeated(start, lambda i, *_: i <= steps, step)
    upper, lower = (fraction[0], fraction[1]), (fraction[2], fraction[3])
    first, second = _product(slope, lower), _product(upper, gamma)
    difference, _ = _plus(first, (-second[0], -second[1]))
    return difference / (gamma[0] * lower[0])


def _product(x: Pair, y: Pair) -> Pair:
    product, lost = exact_product(x[0], y[0])
    return quick_sum(product, fma(x[0], y[1], fma(x[1], y[0], lost)))


def _digamma_reflected(size: Value, g: Value) -> Value:
    above = 1.0 + size
    high, low = _log_pair(select(above < INF, above, 1.0), single=False)
    (lower, lower_rest), (upper, upper_rest) = _turn(g)
    ratio = upper / lower
    ratio_rest = (fma(-ratio, lower_rest, fma(-ratio, lower, upper) + upper_rest)) / lower
    term, term_rest = exact_product(ratio, ratio.like(math.pi))
    term_rest = fma(ratio, PI_REST, fma(ratio_rest, math.pi, term_rest))
    negative = g > 0.0
    term, term_rest = select(negative, -term, term), select(negative, -term_rest, term_rest)
    total, lost = exact_sum(high, term)
    return total + (lost + ((low - _series(1.0 / above, single=False)) + term_rest))
