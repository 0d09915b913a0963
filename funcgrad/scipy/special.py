"""`scipy.special` with derivatives.

SciPy's ufuncs find their way here by themselves: `scipy.special.expit(x)` works on traced arrays. What SciPy writes in
Python (`softmax`, `log_softmax`, `logsumexp`, `multigammaln`, `polygamma`) turns its arguments into plain arrays first:
of traced arrays take the functions here.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from funcgrad.core.errors import ArgumentError, message
from funcgrad.core.source import caller
from funcgrad.numpy.arrays import as_array
from funcgrad.numpy.protocol import named_functions
from funcgrad.numpy.reductions import reduced_axes
from funcgrad.primitives import entropy, exponential, gammas, normal, powers
from funcgrad.primitives import softmax as _softmax
from funcgrad.primitives import special as _special

__all__ = [
    "beta",
    "betaln",
    "cbrt",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gamma",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "kl_div",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "softmax",
    "xlog1py",
    "xlogy",
]

# Element by element -------------------------------------------------------------------------------------------------


def expit(x: Any, /) -> Any:
    """The logistic function 1 / (1 + exp(-x))."""
    return _special.logistic(_operand(x))


def logit(x: Any, /) -> Any:
    """The inverse of `expit`: log(x / (1 - x))."""
    return normal.logit(_operand(x))


def erf(x: Any, /) -> Any:
    """The error function."""
    return _special.erf(_operand(x))


def erfc(x: Any, /) -> Any:
    """1 - erf(x), without cancellation."""
    return _special.erfc(_operand(x))


def erfcx(x: Any, /) -> Any:
    """exp(x**2) * erfc(x), without underflow."""
    return normal.erfcx(_operand(x))


def erfinv(y: Any, /) -> Any:
    """The inverse of `erf`."""
    return normal.erfinv(_operand(y))


def erfcinv(y: Any, /) -> Any:
    """The inverse of `erfc`."""
    return normal.erfcinv(_operand(y))


def ndtr(x: Any, /) -> Any:
    """The cumulative distribution function of the standard normal distribution."""
    return normal.ndtr(_operand(x))


def log_ndtr(x: Any, /) -> Any:
    """The logarithm of `ndtr`, accurate in both tails."""
    return normal.log_ndtr(_operand(x))


def ndtri(y: Any, /) -> Any:
    """The inverse of `ndtr`."""
    return normal.ndtri(_operand(y))


def xlogy(x: Any, y: Any, /) -> Any:
    """x log(y), and 0 where x is 0. Derivative by y there: 0."""
    return entropy.xlogy(_operand(x), _operand(y))


def xlog1py(x: Any, y: Any, /) -> Any:
    """x log(1 + y), and 0 where x is 0. Derivative by y there: 0."""
    return entropy.xlog1py(_operand(x), _operand(y))


def entr(x: Any, /) -> Any:
    """-x log(x), 0 at 0, minus infinity below."""
    return entropy.entr(_operand(x))


def rel_entr(x: Any, y: Any, /) -> Any:
    """x log(x / y), 0 where x is 0, infinity where an argument is negative."""
    return entropy.rel_entr(_operand(x), _operand(y))


def gamma(z: Any, /) -> Any:
    """The gamma function, of real arguments."""
    return gammas.gamma(_operand(z))


def gammaln(x: Any, /) -> Any:
    """The logarithm of the gamma function's absolute value."""
    return _special.lgamma(_operand(x))


def betaln(a: Any, b: Any, /) -> Any:
    """The logarithm of the beta function's absolute value."""
    return gammas.betaln(_operand(a), _operand(b))


def exp2(x: Any, /) -> Any:
    """2**x."""
    return exponential.exp2(_operand(x))


def expm1(x: Any, /) -> Any:
    """exp(x) - 1, accurate near 0."""
    return exponential.expm1(_operand(x))


def log1p(x: Any, /) -> Any:
    """log(1 + x), accurate near 0."""
    return exponential.log1p(_operand(x))


def cbrt(x: Any, /) -> Any:
    """The cube root."""
    return powers.cbrt(_operand(x))


def digamma(z: Any, /) -> Any:
    """The derivative of `gammaln`, of real arguments."""
    return _special.polygamma(_operand(z), 0)


def i0(x: Any, /) -> Any:
    """The modified Bessel function of the first kind, of order 0."""
    return _special.bessel_i(_operand(x), 0)


def i1(x: Any, /) -> Any:
    """The modified Bessel function of the first kind, of order 1."""
    return _special.bessel_i(_operand(x), 1)


def i0e(x: Any, /) -> Any:
    """i0(x) * exp(-abs(x)), without overflow."""
    return gammas.bessel_ie(_operand(x), 0)


def i1e(x: Any, /) -> Any:
    """i1(x) * exp(-abs(x)), without overflow."""
    return gammas.bessel_ie(_operand(x), 1)


def j0(x: Any, /) -> Any:
    """The Bessel function of the first kind, of order 0."""
    return gammas.bessel_j(_operand(x), 0)


def j1(x: Any, /) -> Any:
    """The Bessel function of the first kind, of order 1."""
    return gammas.bessel_j(_operand(x), 1)


def log_expit(x: Any, /) -> Any:
    """The logarithm of `expit`, without underflow."""
    return -exponential.logaddexp(-_operand(x), 0.0)


def kl_div(x: Any, y: Any, /) -> Any:
    """x log(x / y) - x + y: `rel_entr` that is least, 0, where both are equal."""
    x, y = _operand(x), _operand(y)
    return entropy.rel_entr(x, y) - x + y


def beta(a: Any, b: Any, /) -> Any:
    """The beta function of positive arguments."""
    return exponential.exp(betaln(a, b))


def psi(z: Any, /) -> Any:
    """`digamma`, under its other name."""
    return digamma(z)


def _operand(x: Any) -> Any:
    """An argument as primitives take it."""
    return x if isinstance(x, (float, np.generic)) else as_array(x)


for _f in (
    expit,
    logit,
    erf,
    erfc,
    erfcx,
    erfinv,
    erfcinv,
    ndtr,
    log_ndtr,
    ndtri,
    xlogy,
    xlog1py,
    entr,
    rel_entr,
    gamma,
    gammaln,
    betaln,
    exp2,
    expm1,
    log1p,
    cbrt,
    digamma,
    i0,
    i1,
    i0e,
    i1e,
    j0,
    j1,
    log_expit,
    kl_div,
    beta,
    psi,
):
    named_functions[f"scipy.special.{_f.__name__}"] = _f

# With parameters ----------------------------------------------------------------------------------------------------


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of `digamma`.

    Args:
        n: An integer, the same for all elements.
        x: Positive numbers.

    Raises:
        ArgumentError: (a ValueError) n is no integer, or negative.
    """
    try:
        order = operator.index(n)
    except TypeError:
        order = -1
    if order < 0:
        raise ArgumentError(
            message(f"polygamma got the order n={n!r}.", where=caller(), fix="an integer from 0 on, not an array.")
        )
    return _special.polygamma(_operand(x), order)


def multigammaln(a: Any, d: Any) -> Any:
    """The logarithm of the multivariate gamma function of dimension d.

    Args:
        a: Numbers above (d - 1) / 2.
        d: An integer from 1 on.
    """
    a, d = _operand(a), operator.index(d)
    if d < 1:
        raise ArgumentError(message(f"multigammaln got d={d}.", where=caller(), fix="a dimension from 1 on."))
    total = _special.lgamma(a)
    for k in range(1, d):
        total = total + _special.lgamma(a - 0.5 * k)
    return total + d * (d - 1) / 4.0 * math.log(math.pi)


def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along axes, without overflow.

    Example:
        >>> softmax([1.0, 1.0])
        array([0.5, 0.5])
    """
    x = _floating(x)
    return _softmax.softmax(x, reduced_axes(axis, x.ndim))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """The logarithm of `softmax`, accurate where that is near 0 or 1."""
    x = _floating(x)
    axes = reduced_axes(axis, x.ndim)
    top = np.max(x, axis=axes, keepdims=True)
    shifted = x - np.where(np.isfinite(top), top, 0.0)
    return shifted - _softmax.logsumexp(shifted, axes, True)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log(sum(b * exp(a))) along axes, without overflow.

    Args:
        a: Real numbers.
        axis: An axis, several, or None for all.
        b: Factors, of either sign; 1 where not given.
        keepdims: Whether these axes stay, of length 1.
        return_sign: Whether to return the logarithm of the sum's absolute value, and its sign; otherwise a negative
            sum gives NaN.

    Returns:
        The logarithm; with `return_sign` a pair.

    Example:
        >>> import numpy as np
        >>> round(float(np.exp(logsumexp(np.log([1.0, 3.0]), b=[1.0, 2.0]))), 9)
        7.0
    """
    a = _floating(a)
    if b is None:
        y = _softmax.logsumexp(a, reduced_axes(axis, a.ndim), keepdims)
        return (y, np.ones_like(y)) if return_sign else y
    a, b = np.broadcast_arrays(a, _floating(b))
    axes = reduced_axes(axis, a.ndim)
    # Where a factor is 0 the exponential counts for nothing, be it infinite.
    a = np.where(b == 0, -np.inf, a)
    top = np.max(a, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.sum(b * np.exp(a - top), axis=axes, keepdims=keepdims)
    top = top if keepdims else np.reshape(top, total.shape)
    signs = np.sign(total)
    y = np.log(np.abs(total) if return_sign else total) + top
    return (y, signs) if return_sign else y


def _floating(x: Any) -> Any:
    """A real array of floating-point numbers."""
    x = as_array(x)
    return x.astype(float) if x.dtype.kind in "biu" else x
