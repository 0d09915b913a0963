"""Exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.kinds import elementwise

_LN2 = math.log(2.0)
_LN10 = math.log(10.0)

# exp: y = e^x ------------------------------------------------------------------------------------------------------

exp_p = elementwise("exp", np.exp, lambda t, y, x: t * y)


def exp(x: Any) -> Any:
    """e to the power x."""
    return bind(exp_p, x)


# exp2: y = 2^x -----------------------------------------------------------------------------------------------------

exp2_p = elementwise("exp2", np.exp2, lambda t, y, x: t * (y * _LN2))


def exp2(x: Any) -> Any:
    """2 to the power x."""
    return bind(exp2_p, x)


# expm1: y = e^x - 1 ------------------------------------------------------------------------------------------------

# y + 1 would cost the same and lose all digits where x is far below 0.
expm1_p = elementwise("expm1", np.expm1, lambda t, y, x: t * exp(x))


def expm1(x: Any) -> Any:
    """e to the power x, less 1, accurate near 0."""
    return bind(expm1_p, x)


# log: y = ln x -----------------------------------------------------------------------------------------------------

log_p = elementwise("log", np.log, lambda t, y, x: t / x)


def log(x: Any) -> Any:
    """Natural logarithm."""
    return bind(log_p, x)


# log2: y = ln x / ln 2 ---------------------------------------------------------------------------------------------

log2_p = elementwise("log2", np.log2, lambda t, y, x: t / (x * _LN2))


def log2(x: Any) -> Any:
    """Logarithm to the base 2."""
    return bind(log2_p, x)


# log10: y = ln x / ln 10 -------------------------------------------------------------------------------------------

log10_p = elementwise("log10", np.log10, lambda t, y, x: t / (x * _LN10))


def log10(x: Any) -> Any:
    """Logarithm to the base 10."""
    return bind(log10_p, x)


# log1p: y = ln(1 + x) ----------------------------------------------------------------------------------------------

log1p_p = elementwise("log1p", np.log1p, lambda t, y, x: t / (x + 1.0))


def log1p(x: Any) -> Any:
    """Natural logarithm of 1 + x, accurate near 0."""
    return bind(log1p_p, x)


# logaddexp_share: y = e^x1 / (e^x1 + e^x2) -------------------------------------------------------------------------


def _logaddexp_share_implementation(x1: Any, x2: Any) -> Any:
    dtype = np.result_type(x1, x2)
    if dtype.kind != "f":
        dtype = np.result_type(dtype, np.float16)  # as np.logaddexp does
    # Equal infinities share evenly; their difference would be NaN.
    difference = np.zeros(np.broadcast(x1, x2).shape, dtype)
    np.subtract(x2, x1, where=np.not_equal(x1, x2), out=difference, dtype=dtype)
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(difference))


logaddexp_share_p = elementwise(
    "logaddexp_share",
    np.logaddexp,
    lambda t, y, x1, x2: t * (y * logaddexp_share(x2, x1)),
    lambda t, y, x1, x2: -(t * (y * logaddexp_share(x2, x1))),
    implementation=_logaddexp_share_implementation,
)


def logaddexp_share(x1: Any, x2: Any) -> Any:
    """The share of exp(x1) in exp(x1) + exp(x2): the logistic function of x1 - x2."""
    return bind(logaddexp_share_p, x1, x2)


# logaddexp: y = ln(e^x1 + e^x2) ------------------------------------------------------------------------------------

logaddexp_p = elementwise(
    "logaddexp",
    np.logaddexp,
    lambda t, y, x1, x2: t * logaddexp_share(x1, x2),
    lambda t, y, x1, x2: t * logaddexp_share(x2, x1),
)


def logaddexp(x1: Any, x2: Any) -> Any:
    """Logarithm of exp(x1) + exp(x2). Derivative where both are the same infinity: 1/2 each."""
    return bind(logaddexp_p, x1, x2)


# logaddexp2: y = log2(2^x1 + 2^x2) ---------------------------------------------------------------------------------

logaddexp2_p = elementwise(
    "logaddexp2",
    np.logaddexp2,
    lambda t, y, x1, x2: t * logaddexp_share(x1 * _LN2, x2 * _LN2),
    lambda t, y, x1, x2: t * logaddexp_share(x2 * _LN2, x1 * _LN2),
)


def logaddexp2(x1: Any, x2: Any) -> Any:
    """Logarithm to the base 2 of 2**x1 + 2**x2. Derivative where both are the same infinity: 1/2 each."""
    return bind(logaddexp2_p, x1, x2)
