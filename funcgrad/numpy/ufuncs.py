"""Which primitive each of NumPy's ufuncs is, or of which it is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.numpy.protocol import implements, strengthened, ufunc_primitives
from funcgrad.primitives import (
    arithmetic,
    comparison,
    complex,
    exponential,
    powers,
    rounding,
    trigonometric,
)
from funcgrad.primitives.structural import cast

ufunc_primitives.update(
    {
        np.add: arithmetic.add_p,
        np.subtract: arithmetic.subtract_p,
        np.multiply: arithmetic.multiply_p,
        np.divide: arithmetic.divide_p,
        np.floor_divide: arithmetic.floor_divide_p,
        np.remainder: arithmetic.remainder_p,
        np.fmod: arithmetic.fmod_p,
        np.negative: arithmetic.negative_p,
        np.positive: arithmetic.positive_p,
        np.absolute: arithmetic.absolute_p,
        np.fabs: arithmetic.fabs_p,
        np.copysign: arithmetic.copysign_p,
        np.heaviside: arithmetic.heaviside_p,
        np.maximum: arithmetic.maximum_p,
        np.minimum: arithmetic.minimum_p,
        np.fmax: arithmetic.fmax_p,
        np.fmin: arithmetic.fmin_p,
        np.power: powers.power_p,
        np.float_power: powers.float_power_p,
        np.square: powers.square_p,
        np.sqrt: powers.sqrt_p,
        np.cbrt: powers.cbrt_p,
        np.reciprocal: powers.reciprocal_p,
        np.exp: exponential.exp_p,
        np.exp2: exponential.exp2_p,
        np.expm1: exponential.expm1_p,
        np.log: exponential.log_p,
        np.log2: exponential.log2_p,
        np.log10: exponential.log10_p,
        np.log1p: exponential.log1p_p,
        np.logaddexp: exponential.logaddexp_p,
        np.logaddexp2: exponential.logaddexp2_p,
        np.sin: trigonometric.sin_p,
        np.cos: trigonometric.cos_p,
        np.tan: trigonometric.tan_p,
        np.arcsin: trigonometric.arcsin_p,
        np.arccos: trigonometric.arccos_p,
        np.arctan: trigonometric.arctan_p,
        np.arctan2: trigonometric.arctan2_p,
        np.hypot: trigonometric.hypot_p,
        np.sinh: trigonometric.sinh_p,
        np.cosh: trigonometric.cosh_p,
        np.tanh: trigonometric.tanh_p,
        np.arcsinh: trigonometric.arcsinh_p,
        np.arccosh: trigonometric.arccosh_p,
        np.arctanh: trigonometric.arctanh_p,
        np.deg2rad: trigonometric.deg2rad_p,
        np.radians: trigonometric.deg2rad_p,
        np.rad2deg: trigonometric.rad2deg_p,
        np.degrees: trigonometric.rad2deg_p,
        np.floor: rounding.floor_p,
        np.ceil: rounding.ceil_p,
        np.trunc: rounding.trunc_p,
        np.rint: rounding.rint_p,
        np.spacing: rounding.spacing_p,
        np.nextafter: rounding.nextafter_p,
        np.ldexp: rounding.ldexp_p,
        np.conjugate: complex.conjugate_p,
        np.equal: comparison.equal_p,
        np.not_equal: comparison.not_equal_p,
        np.less: comparison.less_p,
        np.less_equal: comparison.less_equal_p,
        np.greater: comparison.greater_p,
        np.greater_equal: comparison.greater_equal_p,
        np.logical_and: comparison.logical_and_p,
        np.logical_or: comparison.logical_or_p,
        np.logical_xor: comparison.logical_xor_p,
        np.logical_not: comparison.logical_not_p,
        np.isnan: comparison.isnan_p,
        np.isinf: comparison.isinf_p,
        np.isfinite: comparison.isfinite_p,
        np.signbit: comparison.signbit_p,
        np.bitwise_and: comparison.bitwise_and_p,
        np.bitwise_or: comparison.bitwise_or_p,
        np.bitwise_xor: comparison.bitwise_xor_p,
        np.invert: comparison.invert_p,
        np.left_shift: comparison.left_shift_p,
        np.right_shift: comparison.right_shift_p,
        np.bitwise_count: comparison.bitwise_count_p,
        np.gcd: comparison.gcd_p,
        np.lcm: comparison.lcm_p,
    }
)

implements(np.sign)(arithmetic.sign)


@implements(np.divmod)
def divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    """NumPy's divmod."""
    x1, x2 = strengthened((x1, x2))
    return arithmetic.floor_divide(x1, x2), arithmetic.remainder(x1, x2)


@implements(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """NumPy's modf: fractional and integral part."""
    fraction = rounding.fraction(x)
    return fraction, rounding.trunc(cast(x, fraction.dtype))


@implements(np.frexp)
def frexp(x: Any) -> tuple[Any, Any]:
    """NumPy's frexp: mantissa and exponent."""
    return rounding.mantissa(x), rounding.exponent(x)


@implements(np.isnat)
def isnat(x: Any) -> Any:
    """NumPy's isnat, which is not for numbers.

    Raises:
        TypeError: as NumPy.
    """
    return np.isnat(np.empty(x.shape, x.dtype))
