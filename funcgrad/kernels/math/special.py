"""erf and erfc."""

from __future__ import annotations

from funcgrad.kernels.assembly import F32, F64, I64, Value, copysign, fabs, fma, select
from funcgrad.kernels.definitions import kernel
from funcgrad.kernels.math.arithmetic import Pair, exact_sum, format_of, horner, polynomial
from funcgrad.kernels.math.exponential import EXP_F32, LN2_F64, LOG2_E, PAIR_F64, clamped_above, scaled

# 2 / sqrt(pi) in two parts.
SLOPE, SLOPE_REST = 1.1283791670955126, 1.533545961316588e-17

# (-log(erfc(x)) / x - 2 / sqrt(pi)) / x, weighted so that erf has a relative error of 2^-55.2 on [0, 5.93]; and
# -log(erfc(x)) / x itself for float32, 2^-31.2 on [0, 4].
ERF = (
    0.6366197723675877,
    0.10277260330143793,
    -0.019128446995213454,
    -0.00020919483317646448,
    0.0016962075408905465,
    -0.0005901318829913217,
    2.5902835915151535e-05,
    6.44242282441442e-05,
    -2.9582126842103467e-05,
    3.178293479175124e-06,
    3.1239067294503924e-06,
    -2.0296339860705187e-06,
    5.65598248517869e-07,
    -9.022597043512127e-09,
    -6.687902996258873e-08,
    3.497353035913301e-08,
    -1.0877284149732497e-08,
    2.3820867243797504e-09,
    -3.794658857632432e-10,
    4.3408307830145254e-11,
    -3.3952306565486324e-12,
    1.6298460614576225e-13,
    -3.6256759357435276e-15,
)
ERF_F32 = (
    1.128379166628144,
    0.6366198345738736,
    0.10277127713897531,
    -0.01911769478483883,
    -0.00025306110316596135,
    0.0017993536956829456,
    -0.0007406856653113798,
    0.0001674808366090591,
    -2.1354570689196985e-05,
    1.1932976511687926e-06,
)
# Where erf rounds to 1.
ERF_END = 5.93
ERF_END_F32 = 4.0

# (erf(x) / x - 2 / sqrt(pi)) / x^2 in powers of x^2; 1 - erf(x) to 2^-59.7 for x up to 0.9.
ERF_SMALL = (
    -0.3761263890318366,
    0.1128379167095063,
    -0.026866170644291,
    0.005223977617094045,
    -0.000854832652037868,
    0.00012055313311295066,
    -1.4925133921217962e-05,
    1.6452905017185424e-06,
    -1.625534212590871e-07,
    1.3946137763960911e-08,
    -8.266528031248607e-10,
)
SMALL = 0.81

# exp(x^2) erfc(x) (x + a) in powers of t = (x - a) / (x + a), for x from 0.78 to 27.5: to 2^-56.0, with an a for which
# a double holds the constant term to 2^-62; for float32 from 0 to 10.5, to 2^-29.1.
ERFC_MIDDLE, ERFC_MIDDLE_F32 = 3.3359375, 3.0
ERFC = (
    1.0833294362930483,
    -0.9220104971743591,
    0.6631184231877577,
    -0.39636305135707534,
    0.1904318312418337,
    -0.06836847931728732,
    0.014687380703565595,
    0.0005610890254330097,
    -0.001605678733734252,
    0.0003628735850780305,
    0.00010746916948975799,
    -6.418450970667613e-05,
    -5.481908255840825e-06,
    9.561782164670779e-06,
    1.6559145735049644e-07,
    -1.4730056779026445e-06,
    -4.871299821797338e-09,
    2.277794330711935e-07,
    6.249392662717255e-10,
    -2.4586989272585648e-08,
)
ERFC_F32 = (
    1.0740069081134764,
    -0.8833944783421793,
    0.5902282527171117,
    -0.310466290504395,
    0.11952983310404074,
    -0.026836915783268012,
    -0.0012297911009826802,
    0.003068061167528777,
    -0.0004817579574805916,
    -0.0003069441954792104,
    9.992758927354787e-06,
)
ERFC_END = 27.3
ERFC_END_F32 = 10.5


def _power(x: Value, shift: float, rest: Value | None = None, single: bool = False) -> Pair:
    """Of e^(x + rest) = 2^k (1 + y): k + shift, in the last bits, and y between -0.3 and 0.42."""
    shifted = fma(x, LOG2_E, shift)
    k = shifted - shift
    r = fma(k, -LN2_F64[1], fma(k, -LN2_F64[0], x))
    if rest is not None:
        r = r + rest
    return shifted, fma(r * r, polynomial(r, EXP_F32 if single else PAIR_F64), r)


@kernel
def erf(x: Value) -> Value:
    """The error function, 1 - exp(-q(|x|)) with the sign of x; at most 1.5 ulp off."""
    single = x.element is F32
    wide = x.convert(F64)
    end = ERF_END_F32 if single else ERF_END
    magnitude = clamped_above(fabs(wide), end)
    if single:
        q = magnitude * polynomial(magnitude, ERF_F32)
    else:
        q = fma(magnitude, SLOPE, magnitude * fma(magnitude, polynomial(magnitude, ERF), SLOPE_REST))
    shifted, power = _power(-q, format_of(wide).rounder + 1023.0, single=single)
    scale = (shifted.bits(I64) << 52).bits(F64)
    return copysign(fma(-scale, power, 1.0 - scale), wide).convert(x.element)


@kernel
def erfc(x: Value) -> Value:
    """1 - erf(x): exp(-x^2) p(t) / (x + a), t = (x - a) / (x + a), for x >= 0, the rest by symmetry; at most 2 ulp off.

    Reference: M. M. Shepherd and J. G. Laframboise, Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in
    0 <= x < infinity, Mathematics of Computation 36 (1981).
    """
    single = x.element is F32
    wide = x.convert(F64)
    middle, end = (ERFC_MIDDLE_F32, ERFC_END_F32) if single else (ERFC_MIDDLE, ERFC_END)
    magnitude = clamped_above(fabs(wide), end)
    total, total_rest = exact_sum(magnitude, middle)
    inverse = 1.0 / total
    difference = magnitude - middle
    t = difference * inverse
    coefficients = ERFC_F32 if single else ERFC
    # Terms of this polynomial cancel for large t: Horner's rule for the first. What the last two sums lose is kept.
    curve = horner(t, [*coefficients[2:6], polynomial(t, coefficients[6:])])
    slope = fma(t, curve, coefficients[1])
    p = fma(t, slope, coefficients[0])
    p_rest = fma(t, fma(t, curve, coefficients[1] - slope), fma(t, slope, coefficients[0] - p))
    factor = inverse * p
    factor_rest = fma(inverse, p_rest, fma(inverse, p, -factor))
    square = magnitude * magnitude
    # What the square and the quotients lack goes into the exponent; log p(t) has a slope of about -1.
    lost = fma(-inverse, total_rest, fma(-inverse, total, 1.0))
    t_rest = fma(t, lost, fma(difference, inverse, -t))
    rest = (lost - t_rest) - fma(magnitude, magnitude, -square)
    shifted, power = _power(-square, format_of(wide).rounder + 1023.0, rest, single)
    y = factor + fma(factor, power, fma(factor_rest, power, factor_rest))
    y = scaled(y, shifted, square > 700.0)
    if not single:
        tail = fma(square, polynomial(square, ERF_SMALL), SLOPE_REST)
        y = select(magnitude < SMALL, fma(-magnitude, tail, fma(magnitude, -SLOPE, 1.0)), y)
    return select(wide < 0.0, 2.0 - y, y).convert(x.element)
