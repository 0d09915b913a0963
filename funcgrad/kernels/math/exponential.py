"""exp and its kin: x = k log 2 + r, a polynomial in r, and k put into the exponent (Cody and Waite)."""

from __future__ import annotations

from funcgrad.kernels.assembly import Value, fma, kernel, select
from funcgrad.kernels.math.arithmetic import chosen, format_of, polynomial

LOG2_E = 1.4426950408889634
# log 2 in two parts; the first has as many trailing zeros as k has bits.
LN2_F64 = (float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45"))
LN2_F32 = (float.fromhex("0x1.62e400p-1"), float.fromhex("0x1.7f7d1cf79abcap-20"))

# (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2; exp(r) to 2^-56.4, and to 2^-28.2 for float32.
EXP_F64 = (
    0.5000000000000011,
    0.16666666666666438,
    0.04166666666652404,
    0.0083333333334845,
    0.0013888888945779675,
    0.00019841269524016345,
    2.480149037627011e-05,
    2.7557547293729363e-06,
    2.763138525670189e-07,
    2.502645544344677e-08,
)
EXP_F32 = (0.4999999403953552, 0.16666516661643982, 0.04166810214519501, 0.008369197137653828, 0.0013839026214554906)


def clamped(x: Value, low: float, high: float) -> Value:
    """x within limits; NaN stays."""
    x = select(x.like(low) > x, low, x)
    return select(x.like(high) < x, high, x)


def scaled(y: Value, shifted: Value, tiny: Value) -> Value:
    """y * 2^(k - 1), with one rounding where that is normal; k is in the last bits of `shifted`, where `tiny`, lifted.

    Args:
        y: Between 1 and 4.
        shifted: k plus `rounder_of`.
        tiny: Where the result may be subnormal.
    """
    form = format_of(y)
    lift = form.bias - 1
    bits = shifted.bits(form.integer)
    bits = select(tiny, bits + lift, bits)
    y = y * (bits << form.mantissa).bits(y.element)
    return select(tiny, y * 2.0**-lift, y)


def rounder_of(x: Value) -> float:
    """A number that, added to k, leaves the exponent of 2^(k - 1) in the last bits."""
    form = format_of(x)
    return form.rounder + (form.bias - 1)


@kernel
def exp(x: Value) -> Value:
    """e^x: 2^k e^r with r = x - k log 2."""
    low, high, tiny = chosen(x, (-746.0, 710.0, -708.0), (-104.0, 89.0, -87.0))
    x = clamped(x, low, high)
    rounder = rounder_of(x)
    shifted = fma(x, LOG2_E, rounder)
    k = shifted - rounder
    ln2, ln2_rest = chosen(x, LN2_F64, LN2_F32)
    r = fma(k, -ln2_rest, fma(k, -ln2, x))
    coefficients = [2.0 * c for c in chosen(x, EXP_F64, EXP_F32)]
    y = 2.0 + fma(r * r, polynomial(r, coefficients), r + r)
    return scaled(y, shifted, x < tiny)
