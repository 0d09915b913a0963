"""Rows of `primitives/special.py`."""

from __future__ import annotations

import numpy as np
import scipy.special

from funcgrad.primitives import special
from tests.primitives.specs.elementwise import one, row
from tests.spec import ALL, FLOATS

DOUBLE = (np.float64,)


def _sinc_slope(x):
    u = np.pi * x
    return np.pi * (np.cos(u) / u - np.sin(u) / u**2)


ROWS = [
    row("logistic", special.logistic, lambda x: 1.0 / (1.0 + np.exp(-x)), one(), ALL),
    row("logaddexp-softplus", special.softplus, lambda x: np.logaddexp(x, 0.0), one(), FLOATS),
    row("erf", special.erf, scipy.special.erf, one(), FLOATS),
    row("erfc", special.erfc, scipy.special.erfc, one(), FLOATS),
    row("lgamma", special.lgamma, scipy.special.gammaln, one(0.3, 3.0), FLOATS),
    row(
        "polygamma",
        lambda x: special.polygamma(x, 0),
        scipy.special.psi,
        one(0.3, 3.0),
        FLOATS,
    ),
    row(
        "polygamma-two",
        lambda x: special.polygamma(x, 2),
        lambda x: scipy.special.polygamma(2, x).astype(x.dtype)[()],
        one(0.5, 3.0),
        DOUBLE,
        exact=False,
    ),
    row("bessel_i", lambda x: special.bessel_i(x, 0), np.i0, one(), FLOATS, order=3),
    row("bessel_i-three", lambda x: special.bessel_i(x, 3), lambda x: scipy.special.iv(3, x), one(), FLOATS),
    row("sinc", special.sinc, np.sinc, one(), FLOATS, order=3),
    row("sinc-slope", lambda x: special.sinc(x, 1), _sinc_slope, one(0.2, 3.0), ALL, exact=False),
]
