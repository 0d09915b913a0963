"""Special functions: logistic, the error function, gamma functions, Bessel's I, sinc.

SciPy computes some of them; it loads on their first use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.exponential import exp, logaddexp
from funcgrad.primitives.kinds import elementwise

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


def _floating(x: Any) -> Any:
    """x, integers and truth values in the dtype in which NumPy's functions compute with them."""
    return np.positive(x, dtype=np.exp(np.zeros((), x.dtype)).dtype) if getattr(x, "dtype", _FLOAT).kind in "biu" else x


_FLOAT = np.dtype(np.float64)


def _scipy(name: str, *xs: Any) -> Any:
    """One of scipy.special's functions, its result in the dtype of the last operand."""
    return scipy_function(name, len(xs) - 1)(*xs)


def scipy_function(name: str, skipped: int = 0) -> Callable[..., Any]:
    """One of scipy.special's functions by its name, in the dtypes in which NumPy's functions compute.

    Args:
        skipped: How many of its arguments are numbers that do not count for the dtype.
    """

    def call(*xs: Any) -> Any:
        import scipy.special

        operands = [_floating(x) for x in xs[skipped:]]
        y = getattr(scipy.special, name)(*xs[:skipped], *operands)
        half = all(getattr(x, "dtype", np.float16) == np.float16 for x in operands)
        return y.astype(np.float16) if half and any(hasattr(x, "dtype") for x in operands) else y

    return call


# logistic: y = 1 / (1 + e^-x) --------------------------------------------------------------------------------------


def _logistic_implementation(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(np.negative(_floating(x))))


logistic_p = elementwise(
    "logistic", np.exp, lambda t, y, x: t * (y * logistic(-x)), implementation=_logistic_implementation
)


def logistic(x: Any) -> Any:
    """The logistic function 1 / (1 + exp(-x)), without overflow."""
    return bind(logistic_p, x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return logaddexp(x, 0.0)


# erf, erfc: y = 2/sqrt(pi) times the integral of e^(-s^2) from 0 to x, and 1 less it -------------------------------

erf_p = elementwise(
    "erf",
    np.fabs,
    lambda t, y, x: t * (exp(-(x * x)) * _TWO_OVER_ROOT_PI),
    implementation=lambda x: _scipy("erf", x),
)


def erf(x: Any) -> Any:
    """The error function."""
    return bind(erf_p, x)


erfc_p = elementwise(
    "erfc",
    np.fabs,
    lambda t, y, x: -(t * (exp(-(x * x)) * _TWO_OVER_ROOT_PI)),
    implementation=lambda x: _scipy("erfc", x),
)


def erfc(x: Any) -> Any:
    """The complementary error function 1 - erf(x)."""
    return bind(erfc_p, x)


# polygamma: y = psi^(order)(x), the derivatives of digamma, real x -------------------------------------------------


def _polygamma_implementation(x: Any, order: int) -> Any:
    if order == 0:
        return _scipy("psi", x)
    return (-1.0) ** (order + 1) * math.factorial(order) * _scipy("zeta", order + 1.0, x)


polygamma_p = elementwise(
    "polygamma",
    np.fabs,
    lambda t, y, x, order: t * polygamma(x, order + 1),
    implementation=_polygamma_implementation,
    parameters=True,
)


def polygamma(x: Any, order: int) -> Any:
    """The derivative of digamma of a given order, x > 0; digamma itself for order 0, any x."""
    return bind(polygamma_p, x, order=order)


# lgamma: y = ln |Gamma(x)| -----------------------------------------------------------------------------------------

lgamma_p = elementwise(
    "lgamma", np.fabs, lambda t, y, x: t * polygamma(x, 0), implementation=lambda x: _scipy("gammaln", x)
)


def lgamma(x: Any) -> Any:
    """The logarithm of |Gamma(x)|."""
    return bind(lgamma_p, x)


# bessel_i: y = I_order(x), of an integer order ---------------------------------------------------------------------


def _bessel_i_implementation(x: Any, order: int) -> Any:
    return np.i0(x)[()] if order == 0 else _scipy("iv", order, x)


bessel_i_p = elementwise(
    "bessel_i",
    np.fabs,
    lambda t, y, x, order: t * (0.5 * (bessel_i(x, abs(order - 1)) + bessel_i(x, order + 1))),
    implementation=_bessel_i_implementation,
    result_dtype=lambda x: np.i0(np.zeros((), x)).dtype,
    parameters=True,
)


def bessel_i(x: Any, order: int) -> Any:
    """The modified Bessel function of the first kind; of order 0 as np.i0 computes it."""
    return bind(bessel_i_p, x, order=order)


# sinc: y = the derivative of some order of sin(pi x) / (pi x) ------------------------------------------------------


def _sinc_implementation(x: Any, order: int) -> Any:
    if order == 0:
        return np.sinc(x)
    u = np.multiply(x, math.pi)
    near = np.abs(u) < order + 1
    # Away from 0: u f_k + k f_{k-1} = the derivative of order k of sin.
    far_u = np.where(near, order + 1.0, u)
    y = np.sin(far_u) / far_u
    for k in range(1, order + 1):
        y = ((np.sin, np.cos)[k % 2](far_u) * (-1.0) ** (k // 2) - k * y) / far_u
    near_u = np.where(near, u, 0.0)
    return (np.where(near, _sinc_series(near_u, order), y) * math.pi**order)[()]


def _sinc_series(u: Any, order: int) -> Any:
    """Taylor's series around 0: the sum of (-1)^m u^(2m - k) (2m)! / (2m - k)! / (2m + 1)!."""
    total = np.zeros_like(u)
    square = u * u
    for m in reversed(range((order + 1) // 2, order + 16)):
        total = total * square + (-1.0) ** m / (math.factorial(2 * m - order) * (2 * m + 1))
    return total * u if order % 2 else total


sinc_p = elementwise(
    "sinc",
    np.sin,
    lambda t, y, x, order: t * sinc(x, order + 1),
    implementation=_sinc_implementation,
    result_dtype=lambda x: np.sinc(np.zeros((), x)).dtype,
    parameters=True,
)


def sinc(x: Any, order: int = 0) -> Any:
    """NumPy's sin(pi x) / (pi x), or its derivative of some order, accurate near 0."""
    return bind(sinc_p, x, order=order)
