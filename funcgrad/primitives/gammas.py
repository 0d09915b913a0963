"""Functions around the gamma function, and Bessel's: gamma, betaln, I scaled, J. SciPy computes them.

Reference:
    Abramowitz, Stegun: Handbook of Mathematical Functions, 6.3 and 9.1.27, 9.6.26 (derivatives).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from funcgrad.core.primitive import bind
from funcgrad.primitives.arithmetic import sign
from funcgrad.primitives.kinds import elementwise
from funcgrad.primitives.special import polygamma, scipy_function

# gamma: y = Gamma(x) -----------------------------------------------------------------------------------------------

gamma_p = elementwise(
    "gamma", np.fabs, lambda t, y, x: t * (y * polygamma(x, 0)), implementation=scipy_function("gamma")
)


def gamma(x: Any) -> Any:
    """The gamma function."""
    return bind(gamma_p, x)


# betaln: y = ln |B(a, b)| ------------------------------------------------------------------------------------------

betaln_p = elementwise(
    "betaln",
    np.logaddexp,
    lambda t, y, a, b: t * (polygamma(a, 0) - polygamma(a + b, 0)),
    lambda t, y, a, b: t * (polygamma(b, 0) - polygamma(a + b, 0)),
    implementation=scipy_function("betaln"),
)


def betaln(a: Any, b: Any) -> Any:
    """The logarithm of |B(a, b)|."""
    return bind(betaln_p, a, b)


# bessel_ie: y = e^-|x| I_order(x), of an integer order -------------------------------------------------------------

_ive = {0: scipy_function("i0e"), 1: scipy_function("i1e")}
_any_ive = scipy_function("ive", 1)

bessel_ie_p = elementwise(
    "bessel_ie",
    np.fabs,
    lambda t, y, x, order: (
        t * (0.5 * (bessel_ie(x, abs(order - 1)) + bessel_ie(x, order + 1)) - sign(x) * bessel_ie(x, order))
    ),
    implementation=lambda x, order: _ive[order](x) if order in _ive else _any_ive(order, x),
    parameters=True,
)


def bessel_ie(x: Any, order: int) -> Any:
    """The modified Bessel function of the first kind times exp(-|x|). Derivative at the kink at 0: of I alone."""
    return bind(bessel_ie_p, x, order=order)


# bessel_j: y = J_order(x), of an integer order ---------------------------------------------------------------------

_jv = scipy_function("jv", 1)

bessel_j_p = elementwise(
    "bessel_j",
    np.fabs,
    lambda t, y, x, order: t * (0.5 * (_bessel_j_below(x, order) - bessel_j(x, order + 1))),
    implementation=lambda x, order: _jv(order, x),
    parameters=True,
)


def bessel_j(x: Any, order: int) -> Any:
    """The Bessel function of the first kind, of an order that is not negative."""
    return bind(bessel_j_p, x, order=order)


def _bessel_j_below(x: Any, order: int) -> Any:
    return bessel_j(x, order - 1) if order else -bessel_j(x, 1)
