"""The normal distribution and inverses of sigmoid functions: erfcx, erfinv, erfcinv, ndtri, log_ndtr, logit.

SciPy computes them.

Reference:
    Abramowitz, Stegun: Handbook of Mathematical Functions, section 7.1 (derivatives of the error functions).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.exponential import exp
from funcgrad.primitives.kinds import elementwise
from funcgrad.primitives.special import erfc, scipy_function

_HALF_ROOT_PI = math.sqrt(math.pi) / 2.0
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
_ROOT_HALF = math.sqrt(0.5)

# erfcx: y = e^(x^2) erfc(x) ----------------------------------------------------------------------------------------

erfcx_p = elementwise(
    "erfcx",
    np.fabs,
    lambda t, y, x: t * (2.0 * (x * y) - 1.0 / _HALF_ROOT_PI),
    implementation=scipy_function("erfcx"),
)


def erfcx(x: Any) -> Any:
    """exp(x**2) * erfc(x), without underflow."""
    return bind(erfcx_p, x)


# erfinv: erf(y) = x ------------------------------------------------------------------------------------------------

erfinv_p = elementwise(
    "erfinv", np.fabs, lambda t, y, x: t * (exp(y * y) * _HALF_ROOT_PI), implementation=scipy_function("erfinv")
)


def erfinv(x: Any) -> Any:
    """The inverse of the error function."""
    return bind(erfinv_p, x)


# erfcinv: erfc(y) = x ----------------------------------------------------------------------------------------------

erfcinv_p = elementwise(
    "erfcinv", np.fabs, lambda t, y, x: -(t * (exp(y * y) * _HALF_ROOT_PI)), implementation=scipy_function("erfcinv")
)


def erfcinv(x: Any) -> Any:
    """The inverse of the complementary error function."""
    return bind(erfcinv_p, x)


# ndtri: ndtr(y) = x ------------------------------------------------------------------------------------------------

ndtri_p = elementwise(
    "ndtri", np.fabs, lambda t, y, x: t * (exp(y * y * 0.5) * _ROOT_TWO_PI), implementation=scipy_function("ndtri")
)


def ndtr(x: Any) -> Any:
    """The cumulative distribution function of the standard normal distribution."""
    return 0.5 * erfc(x * -_ROOT_HALF)


def ndtri(x: Any) -> Any:
    """The inverse of `ndtr`."""
    return bind(ndtri_p, x)


# log_ndtr: y = ln ndtr(x) ------------------------------------------------------------------------------------------

log_ndtr_p = elementwise(
    "log_ndtr",
    np.fabs,
    lambda t, y, x: t * (_ROOT_TWO_OVER_PI / erfcx(x * -_ROOT_HALF)),
    implementation=scipy_function("log_ndtr"),
)


def log_ndtr(x: Any) -> Any:
    """The logarithm of `ndtr`, accurate in both tails, as is its derivative."""
    return bind(log_ndtr_p, x)


# logit: y = ln(x / (1 - x)) ----------------------------------------------------------------------------------------

logit_p = elementwise("logit", np.fabs, lambda t, y, x: t / (x * (1.0 - x)), implementation=scipy_function("logit"))


def logit(x: Any) -> Any:
    """The inverse of the logistic function."""
    return bind(logit_p, x)
