"""asin, acos, atan and atan2: an odd polynomial v + v z p(z), z = v^2, beside a multiple of pi/2 or a table."""

from __future__ import annotations

from funcgrad.kernels.assembly import BOOL, F32, I64, U64, Value, copysign, fabs, fma, select, sqrt
from funcgrad.kernels.definitions import kernel
from funcgrad.kernels.math.arithmetic import chosen, format_of, horner, polynomial, quick_sum
from funcgrad.kernels.math.exponential import clamped, clamped_above
from funcgrad.kernels.math.registers import entry, has_tables, near_quotient

PI, PI_REST = 3.141592653589793, 1.2246467991473532e-16
HALF_PI = PI / 2
PI_SINGLE, PI_REST_SINGLE = 3.1415927410125732, -8.742277657347586e-08

# (asin(v) - v) / v^3 in powers of v^2 up to 1/4: asin to 2^-55.9, for float32 to 2^-27.6.
ASIN = (
    0.16666666666665408,
    0.07500000000337143,
    0.04464285682821443,
    0.030381959141958268,
    0.022371757924471068,
    0.017359706749384914,
    0.013885215053304029,
    0.01216935063056084,
    0.0065273535075078765,
    0.01953002071441945,
    -0.01622708663103863,
    0.03191426127346284,
)
ASIN_F32 = (0.1666675248160452, 0.0749529764039876, 0.04547037713659057, 0.024179520563368084, 0.04216626727734192)
# (atan(v) - v) / v^3 in powers of v^2 up to 1: atan to 2^-55.6, for float32 to 2^-28.5.
ATAN = (
    -0.3333333333333307,
    0.19999999999951742,
    -0.1428571428258754,
    0.1111111100732457,
    -0.09090907007491815,
    0.07692279885502394,
    -0.06666404397551479,
    0.05880529669937159,
    -0.05253526479099642,
    0.0472235087003904,
    -0.04219271387874059,
    0.036644516701004694,
    -0.029909875666966235,
    0.021995620246327792,
    -0.013914971028991488,
    0.007210540908416395,
    -0.002894542079153848,
    0.0008357150419255276,
    -0.00015335884634628158,
    1.3372673058747552e-05,
)
ATAN_F32 = (
    -0.33333299089378704,
    0.1999854828512659,
    -0.14264241645341585,
    0.10952185376694168,
    -0.08403448566195755,
    0.057957554133274046,
    -0.03117779845545144,
    0.010914576553520955,
    -0.0017936144646467354,
)
# For float64 by a table: tangents of angles in the middle of parts of the axis, of which there are two between powers
# of 2 from 1/16 to 16, as quotients; and the angles. Below the first part the angle is 0, above the last pi/2; others
# were chosen so that they are within 2^-63 of doubles. (atan(v) - v) / v^3 in powers of v^2 for v up to 0.0991: atan to
# 2^-54.6.
TANGENTS = (
    2.4142748825252056,
    3.434519705362618,
    4.808548741042614,
    6.860738658346236,
    9.607666341587901,
    1.0,
    0.0,
    0.10938458424061537,
    0.15613014623522758,
    0.21856555063277483,
    0.31140858586877584,
    0.4361025160178542,
    0.6180888125672936,
    0.8673404864966869,
    1.2198394304141402,
    1.7231819806620479,
)
TANGENTS_BELOW = (
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    6.123233995736766e-17,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
)
ANGLES = (
    1.1781062250298526,
    1.2874678180062775,
    1.3657559365100251,
    1.4260586708147878,
    1.467086213580256,
    1.5707963267948966,
    0.0,
    0.10895142792084135,
    0.15487974240228203,
    0.21518166668451952,
    0.3018902464211818,
    0.4112368697267288,
    0.5536140288113476,
    0.7144753658988834,
    0.8841102231442667,
    1.044971800548277,
)
ATAN_SHORT = (-0.3333333333331647, 0.19999999975629662, -0.14285702841810363, 0.1110876356912986, -0.08871741007155905)


def _rest_of_pi(x: Value) -> float:
    """What pi, as numbers of a type have it, lacks, beside it."""
    return PI_REST_SINGLE / PI_SINGLE if x.element is F32 else PI_REST / PI


def _from_offset(offset: Value, v: Value, tail: Value) -> Value:
    """offset + v + tail, where the offset stands for a multiple of pi/2 up to pi, or 0 where v may be larger."""
    total, lost = quick_sum(offset, v)
    return total + (lost + fma(offset, _rest_of_pi(v), tail))


@kernel
def asin(x: Value) -> Value:
    """The inverse sine; NaN outside [-1, 1]. Above 1/2, pi/2 - 2 asin(sqrt((1 - x) / 2))."""
    size = fabs(x)
    large = size > 0.5
    z = select(large, fma(size, -0.5, 0.5), size * size)
    v = select(large, -2.0 * sqrt(z), size)
    tail = v * z * polynomial(z, chosen(x, ASIN, ASIN_F32))
    return copysign(_from_offset(select(large, v.like(HALF_PI), 0.0), v, tail), x)


@kernel
def acos(x: Value) -> Value:
    """The inverse cosine; NaN outside [-1, 1]. Of |x| above 1/2, 2 asin(sqrt((1 - |x|) / 2)), or pi less that."""
    size = fabs(x)
    large = size > 0.5
    negative = x < 0.0
    z = select(large, fma(size, -0.5, 0.5), size * size)
    twice = 2.0 * sqrt(z)
    v = select(large, select(negative, -twice, twice), -x)
    tail = v * z * polynomial(z, chosen(x, ASIN, ASIN_F32))
    return _from_offset(select(large, select(negative, v.like(PI), 0.0), HALF_PI), v, tail)


def _arc(size: Value, other: Value, negative: Value) -> Value:
    """The angle from 0 to pi of a point `size` above the axis and `other` along it, to the left if negative."""
    steep = size > other
    v = select(steep, other, size) / select(steep, size, other)
    v = select(size.equals(other), select(size.equals(0.0), v.like(0.0), 1.0), v)
    z = v * v
    v = select(steep ^ negative, -v, v)
    # Even and odd powers cancel near 1: the largest terms by Horner's rule.
    first, coefficients = chosen(v, (6, ATAN), (3, ATAN_F32))
    p = horner(z, [*coefficients[:first], polynomial(z, coefficients[first:])])
    tail = v * z * p
    return _from_offset(select(steep, HALF_PI, select(negative, v.like(PI), 0.0)), v, tail)


def _arc_by_table(x: Value) -> Value:
    """The angle with a positive tangent: that of s / c and that of (c x - s) / (s x + c)."""
    x = clamped_above(x, 2.0**60)
    bits = clamped(x, 0.0625, 15.0).bits(U64) >> (format_of(x).mantissa - 1)
    index = bits.bits(I64)
    above, below = entry("fg_tangents", TANGENTS, index), entry("fg_tangents_below", TANGENTS_BELOW, index)
    v = near_quotient(fma(below, x, -above), fma(above, x, below))
    z = v * v
    return entry("fg_angles", ANGLES, index) + fma(v * z, polynomial(z, ATAN_SHORT), v)


@kernel
def atan(x: Value) -> Value:
    """The inverse tangent."""
    if has_tables(x):
        return copysign(_arc_by_table(fabs(x)), x)
    return copysign(_arc(fabs(x), x.like(1.0), x.builder.constant(False, BOOL, x.width)), x)


@kernel
def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from -pi to pi, with C99's values at zeros and infinities (annex F)."""
    return copysign(_arc(fabs(y), fabs(x), x.bits(format_of(x).integer) < 0), y)
